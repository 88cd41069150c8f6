/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_STEP_OPTIMIZER_H
#define FSMOE_STEP_OPTIMIZER_H

#include <fsmoe/train.h>

/* Appends what comes after the exchange of gradients: the global norm, one optimizer node a
 * bucket. The norm is NaN, and nothing updated, when the loss is not
 * finite. */
int fsmoe_step_append_update(fsmoe_graph_t graph, const struct fsmoe_train_opts *opts,
			     fsmoe_tensor_t loss, fsmoe_tensor_t *norm2);

#endif
