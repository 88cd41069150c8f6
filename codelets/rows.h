/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_ROWS_H
#define FSMOE_ROWS_H

#include "codelets/filled.h"
#include "codelets/kernels.h"

/*
 * Collectives of the rows of a chunk that hold a token (codelets/filled.h): messages are as long as
 * the counts say, which both ends know. Rows that hold nobody are neither read nor written.
 *
 *   alltoall_rows        x (outer, P, blocks, c, M) -> y of that shape: part p goes to rank p
 *   allgather_rows       x (blocks, c, M) -> y (P, blocks, c, M)
 *   reduce_scatter_rows  x (P, blocks, c, M) -> y (blocks, c, M): sums in group order
 *
 * `from` are the counts of x, `to` those of y. On a GPU, where a message's size must be known when
 * it is enqueued, everything travels, zeros where nobody is. Not differentiated: they are for what
 * lays out its backward itself.
 */
struct fsmoe_rows_args
{
	enum fsmoe_group group;
	size_t outer, blocks; /* blocks of a part, in each of `outer` pieces */
	struct fsmoe_filled filled;
};

extern const struct fsmoe_op fsmoe_op_alltoall_rows;
extern const struct fsmoe_op fsmoe_op_allgather_rows;
extern const struct fsmoe_op fsmoe_op_reduce_scatter_rows;

FSMOE_KERNELS(alltoall_rows);
FSMOE_KERNELS(allgather_rows);
FSMOE_KERNELS(reduce_scatter_rows);

/* What goes where: a tensor and the counts of its rows, the counts on arrival. */
struct fsmoe_rows_move
{
	fsmoe_tensor_t x, from, to;
	enum fsmoe_group group;
};

/* x is seen as (outer, P, blocks, c, M). With one member x is returned, as by the collectives of
 * whole tensors. */
fsmoe_tensor_t fsmoe_alltoall_rows(fsmoe_graph_t graph, struct fsmoe_filled filled,
				   struct fsmoe_rows_move move, size_t outer);
fsmoe_tensor_t fsmoe_allgather_rows(fsmoe_graph_t graph, struct fsmoe_filled filled,
				    struct fsmoe_rows_move move);
fsmoe_tensor_t fsmoe_reduce_scatter_rows(fsmoe_graph_t graph, struct fsmoe_filled filled,
					 struct fsmoe_rows_move move);

#endif
