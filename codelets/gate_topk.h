/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GATE_TOPK_H
#define FSMOE_GATE_TOPK_H

#include "codelets/kernels.h"

/*
 * The top-k softmax gate. x (T, M), wg (E, M) -> probs (T, E) = softmax(x wg^T), and of every
 * token its k likeliest experts (of equals the lower number) with expert int32 (T, k), weight
 * (T, k), slot int32 (T, k). For k > 1 the k weights are divided by their sum.
 *
 * Slots are counted within a group of `group` tokens, all first choices in token order before
 * all second ones: slot = (number of the group) * capacity + position, or -1, dropped, when the
 * position is not below the capacity. The weight of a dropped choice stays, unused. counts int32
 * (groups, E): tokens kept.
 */
struct fsmoe_gate_topk_args
{
	size_t topk, group, capacity;
};

struct fsmoe_gate_topk
{
	fsmoe_tensor_t expert, slot, weight, probs, counts;
};

extern const struct fsmoe_op fsmoe_op_gate_topk;
extern const struct fsmoe_op fsmoe_op_gate_topk_backward;

FSMOE_KERNELS(gate_topk);
FSMOE_KERNELS(gate_topk_backward);

/* All FSMOE_NONE when the graph failed. */
struct fsmoe_gate_topk fsmoe_gate_topk(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t wg,
				       const struct fsmoe_gate_topk_args *args);

/* Gradients of weight and of probs (either may be FSMOE_NONE) -> dwg += unless FSMOE_NONE; returns
 * the gradient of x, FSMOE_NONE unless wanted. */
fsmoe_tensor_t fsmoe_gate_topk_backward(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t wg,
					const struct fsmoe_gate_topk *forward,
					fsmoe_tensor_t dweight, fsmoe_tensor_t dprobs,
					fsmoe_tensor_t dwg, int want_dx);

#endif
