/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_COLLECTIVE_H
#define FSMOE_COLLECTIVE_H

#include "codelets/kernels.h"
#include "comm/pattern.h"

/*
 * Collectives over a process group of P ranks. A node's lane is the span of its group, its
 * order the program's; sums are taken in group order. alltoall and allgather move int32 too.
 *   alltoall        x (outer, P, ...) -> y (outer, P, ...): block p goes to rank p
 *   gather          x (outer, ...) -> y (outer, P, ...) on rank 0; no y elsewhere
 *   scatter         x (outer, P, ...) on rank 0, no x elsewhere -> y (outer, ...)
 *   allgather       x (n, ...) -> y (P n, ...)
 *   reduce_scatter  x (P n, ...) -> y (n, ...): rank p gets the sum of the p-th blocks
 *   allreduce       x = sum of x, in place
 * Gather, scatter and allreduce are not differentiated. An alltoall with neither x nor y is for
 * groups that have nothing to say where others of their kind have: every rank appends the same
 * collectives.
 */
struct fsmoe_collective_args
{
	enum fsmoe_group group;
	size_t outer; /* of alltoall, gather, scatter */
};

/* For dispatches in stages. x (.., n, ...) with n = size of the group in dimension `axis`; x and
 * the result of alltoall may be FSMOE_NONE, see above. */
fsmoe_tensor_t fsmoe_alltoall_axis(fsmoe_graph_t graph, fsmoe_tensor_t x, int axis,
				   enum fsmoe_group group);
/* x (...) -> y with a dimension of P more before dimension `axis`; FSMOE_NONE but on rank 0. */
fsmoe_tensor_t fsmoe_gather(fsmoe_graph_t graph, fsmoe_tensor_t x, int axis,
			    enum fsmoe_group group);
/* The way back: y has that shape, which x has with a dimension of P more before `axis`. */
fsmoe_tensor_t fsmoe_scatter(fsmoe_graph_t graph, fsmoe_tensor_t x, int axis,
			     struct fsmoe_shape shape, enum fsmoe_group group);

#ifdef __cplusplus
extern "C" {
#endif
/* What a call of one of the three moves, where a real has `real_bytes` bytes. Not for an alltoall
 * without tensors. */
struct fsmoe_pattern fsmoe_collective_pattern(const struct fsmoe_call *call,
					      enum fsmoe_pattern_kind kind, size_t real_bytes);
#ifdef __cplusplus
}
#endif

extern const struct fsmoe_op fsmoe_op_alltoall;
extern const struct fsmoe_op fsmoe_op_gather;
extern const struct fsmoe_op fsmoe_op_scatter;
extern const struct fsmoe_op fsmoe_op_allgather;
extern const struct fsmoe_op fsmoe_op_reduce_scatter;
extern const struct fsmoe_op fsmoe_op_allreduce;

FSMOE_KERNELS(alltoall);
FSMOE_KERNELS(gather);
FSMOE_KERNELS(scatter);
FSMOE_KERNELS(allgather);
FSMOE_KERNELS(reduce_scatter);
FSMOE_KERNELS(allreduce);

#endif
