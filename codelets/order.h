/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_ORDER_H
#define FSMOE_ORDER_H

#include "codelets/kernels.h"

#include <fsmoe/module.h>

/*
 * Tokens to slots and back, by lists: expert and slot int32 (T, k), slot -1 = dropped. Chunk
 * [lo, hi) of the slots is (E, hi - lo, M) in memory, whatever its dimensions are called.
 *
 *   order                          chunk row (e, s) = x_t of the t with (e, s); zeros: nobody
 *   order.backward                 dx_t = sum_j dchunk row (e_tj, s_tj), j ascending
 *   inverse_order                  y_t = sum_j w_tj * chunk row (e_tj, s_tj), j ascending
 *   inverse_order.backward_chunk   dchunk row (e, s) = w_tj * dy_t; zeros: nobody
 *   inverse_order.backward_weight  dw_tj = dot(dy_t, chunk row (e_tj, s_tj)); 0: dropped
 *
 * With `by_rows` nothing is written where nobody is.
 *
 * What reads chunks reads all of them, so its result does not depend on how the slots are cut. The
 * differentiation of one node of `order` stays within its chunk; a layer with several appends one
 * order.backward over all of them instead.
 */
struct fsmoe_order_args
{
	size_t experts, lo, hi;
	int by_rows;
};

struct fsmoe_cuts_args
{
	size_t experts, n;
	size_t at[]; /* n + 1 */
};

extern const struct fsmoe_op fsmoe_op_order;
extern const struct fsmoe_op fsmoe_op_order_backward;
extern const struct fsmoe_op fsmoe_op_inverse_order;
extern const struct fsmoe_op fsmoe_op_inverse_order_backward_chunk;
extern const struct fsmoe_op fsmoe_op_inverse_order_backward_weight;

FSMOE_KERNELS(order);
FSMOE_KERNELS(order_backward);
FSMOE_KERNELS(inverse_order);
FSMOE_KERNELS(inverse_order_backward_chunk);
FSMOE_KERNELS(inverse_order_backward_weight);

/* Where the tokens of a node go. */
struct fsmoe_lists
{
	size_t experts;
	fsmoe_tensor_t expert, slot, weight;
	int by_rows;
};

fsmoe_tensor_t fsmoe_order_chunk(fsmoe_graph_t graph, const struct fsmoe_lists *lists,
				 fsmoe_tensor_t x, size_t lo, size_t hi);
fsmoe_tensor_t fsmoe_order_backward(fsmoe_graph_t graph, const struct fsmoe_lists *lists,
				    struct fsmoe_cuts cuts, const fsmoe_tensor_t *dchunk);
fsmoe_tensor_t fsmoe_inverse_order(fsmoe_graph_t graph, const struct fsmoe_lists *lists,
				   struct fsmoe_cuts cuts, const fsmoe_tensor_t *chunk);
fsmoe_tensor_t fsmoe_inverse_order_backward_chunk(fsmoe_graph_t graph,
						  const struct fsmoe_lists *lists,
						  fsmoe_tensor_t dy, size_t lo, size_t hi);
fsmoe_tensor_t fsmoe_inverse_order_backward_weight(fsmoe_graph_t graph,
						   const struct fsmoe_lists *lists,
						   fsmoe_tensor_t dy, struct fsmoe_cuts cuts,
						   const fsmoe_tensor_t *chunk);

#endif
