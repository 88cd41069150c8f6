/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_H
#define FSMOE_H

/* Everything a user of the library needs; fsmoe/op.h and fsmoe/module.h are for those who add
 * operations and modules, fsmoe/starpu.h for StarPU programs that want the policy. */

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
