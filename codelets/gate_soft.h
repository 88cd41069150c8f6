/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GATE_SOFT_H
#define FSMOE_GATE_SOFT_H

#include "codelets/kernels.h"

/*
 * Soft routing (arXiv 2308.00951) within groups of `group` tokens. logits (T, N), N slots of a
 * group -> dispatch (T, N) = softmax over the tokens of a group, combine (T, N) = softmax over the
 * slots.
 */
struct fsmoe_gate_soft_args
{
	size_t group;
};

struct fsmoe_gate_soft
{
	fsmoe_tensor_t dispatch, combine;
};

extern const struct fsmoe_op fsmoe_op_gate_soft;
extern const struct fsmoe_op fsmoe_op_gate_soft_backward;

FSMOE_KERNELS(gate_soft);
FSMOE_KERNELS(gate_soft_backward);

struct fsmoe_gate_soft fsmoe_gate_soft(fsmoe_graph_t graph, fsmoe_tensor_t logits, size_t group);

#endif
