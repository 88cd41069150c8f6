/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_ORDER_EINSUM_H
#define FSMOE_ORDER_EINSUM_H

#include "codelets/kernels.h"

#include <fsmoe/module.h>

/*
 * Tokens to slots and back by products with matrices (T, E C): row t has the C slots of every
 * expert in t's own routing group. Slot s of a layer is position s - g C of group g. Chunk [lo, hi)
 * of the slots is (E, hi - lo, M).
 *
 *   order_mask     expert, slot, weight (T, k) -> dispatch (T, E C), 1 where token and slot belong
 *                  together, and combine (T, E C), the weight there
 *   einsum_slots   rows (T, M), mask -> chunk row (e, s) = sum over the group's t of mask_t,es x_t
 *   einsum_rows    mask, all chunks -> rows: sum over e, s of mask_t,es times chunk row (e, s)
 *   einsum_mask    rows, all chunks -> the mask's gradient: products of rows with chunk rows
 *
 * The last two read all chunks, copied together first, so that their results do not depend on how
 * the slots are cut.
 */
struct fsmoe_einsum_sizes
{
	size_t experts, capacity, group;
};

struct fsmoe_einsum_args
{
	struct fsmoe_einsum_sizes sizes;
	size_t n;
	size_t at[]; /* n + 1 */
};

extern const struct fsmoe_op fsmoe_op_order_mask;
extern const struct fsmoe_op fsmoe_op_order_mask_backward;
extern const struct fsmoe_op fsmoe_op_einsum_slots;
extern const struct fsmoe_op fsmoe_op_einsum_rows;
extern const struct fsmoe_op fsmoe_op_einsum_mask;

FSMOE_KERNELS(order_mask);
FSMOE_KERNELS(order_mask_backward);
FSMOE_KERNELS(einsum_slots);
FSMOE_KERNELS(einsum_rows);
FSMOE_KERNELS(einsum_mask);

/* Fills dispatch and combine from the lists. */
void fsmoe_order_mask(fsmoe_graph_t graph, const struct fsmoe_einsum_sizes *sizes,
		      struct fsmoe_routing *routing);
fsmoe_tensor_t fsmoe_einsum_slots(fsmoe_graph_t graph, const struct fsmoe_einsum_sizes *sizes,
				  fsmoe_tensor_t rows, fsmoe_tensor_t mask, size_t lo, size_t hi);
fsmoe_tensor_t fsmoe_einsum_rows(fsmoe_graph_t graph, const struct fsmoe_einsum_sizes *sizes,
				 fsmoe_tensor_t mask, struct fsmoe_cuts cuts,
				 const fsmoe_tensor_t *chunk);
fsmoe_tensor_t fsmoe_einsum_mask(fsmoe_graph_t graph, const struct fsmoe_einsum_sizes *sizes,
				 fsmoe_tensor_t rows, struct fsmoe_cuts cuts,
				 const fsmoe_tensor_t *chunk);

#endif
