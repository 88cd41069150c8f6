/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_H
#define FSMOE_H

/* Includes everything that a user of the library needs. Those who add operations or modules also
 * need fsmoe/op.h and fsmoe/module.h; StarPU programs get the scheduling policy by
 * fsmoe/starpu.h. */

#include <fsmoe/checkpoint.h>
#include <fsmoe/drift.h>
#include <fsmoe/error.h>
#include <fsmoe/graph.h>
#include <fsmoe/measure.h>
#include <fsmoe/model.h>
#include <fsmoe/ops.h>
#include <fsmoe/plan.h>
#include <fsmoe/profile.h>
#include <fsmoe/runtime.h>
#include <fsmoe/schedule.h>
#include <fsmoe/topo.h>
#include <fsmoe/train.h>

#endif
