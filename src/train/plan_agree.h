/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_PLAN_AGREE_H
#define FSMOE_TRAIN_PLAN_AGREE_H

#include <fsmoe/plan.h>
#include <fsmoe/runtime.h>

/* Checks that all ranks have the same plan (NULL: none). Collective over the job. -EINVAL, on every
 * rank, names a rank that has another plan. */
int fsmoe_plan_agree(const struct fsmoe_plan *plan, fsmoe_comms_t comms);

#endif
