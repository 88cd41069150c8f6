/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/rows.h"
#include "codelets/shape.h"

#include <errno.h>
#include <fsmoe/error.h>

enum
{
	X,
	FROM,
	TO,
	Y
};

static const struct fsmoe_port ports[] = {
	[X] = {"x", FSMOE_R, FSMOE_EITHER, "_ M"},
	[FROM] = {"from", FSMOE_R, FSMOE_INTS, "..."},
	[TO] = {"to", FSMOE_R, FSMOE_INTS, "..."},
	[Y] = {"y", FSMOE_W, FSMOE_EITHER | FSMOE_ROWS, "_ M"},
};

static enum fsmoe_group group_of(const void *args)
{
	return ((const struct fsmoe_rows_args *)args)->group;
}

/* Bytes of one rank's larger buffer when all experts have as many rows. */
static double work(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	const struct fsmoe_rows_args *a = args;
	size_t x = fsmoe_count(t[X]), y = fsmoe_count(t[Y]);

	(void)n;
	return 4.0 * (double)(x > y ? x : y) * fsmoe_filled_share(&a->filled);
}

static size_t members(fsmoe_graph_t graph, enum fsmoe_group group)
{
	return (size_t)fsmoe_group_size(fsmoe_graph_groups(graph), group);
}

/* Of one of the tensors: its blocks, and counts for all of them. */
static int check_side(const struct fsmoe_check *c, int tensor, int counts, size_t blocks)
{
	const struct fsmoe_rows_args *a = c->args;
	const struct fsmoe_filled *f = &a->filled;
	const size_t rows = f->experts ? blocks / f->experts * f->groups : 0;

	if (fsmoe_check_matrix(c, tensor, blocks * (f->hi - f->lo), fsmoe_columns(c->tensor[Y])))
		return -EINVAL;
	if (rows == 0 || blocks % f->experts || fsmoe_count(c->tensor[counts]) != rows * f->experts)
		return fsmoe_fail(EINVAL,
				  "%s: %zu counts for %zu blocks of %zu groups of tokens and %zu "
				  "experts",
				  c->op->name, fsmoe_count(c->tensor[counts]), blocks, f->groups,
				  f->experts);
	return 0;
}

static int check(const struct fsmoe_check *c, size_t x_blocks, size_t y_blocks)
{
	const struct fsmoe_filled *f = &((const struct fsmoe_rows_args *)c->args)->filled;

	if (f->hi <= f->lo || f->capacity == 0 || f->hi > f->capacity * f->groups)
		return fsmoe_fail(EINVAL, "%s: there are no slots %zu to %zu of %zu groups of %zu",
				  c->op->name, f->lo, f->hi, f->groups, f->capacity);
	return check_side(c, X, FROM, x_blocks) || check_side(c, Y, TO, y_blocks) ? -EINVAL : 0;
}

static int check_alltoall(const struct fsmoe_check *c)
{
	const struct fsmoe_rows_args *a = c->args;
	size_t all = a->outer * members(c->graph, a->group) * a->blocks;

	return check(c, all, all);
}

static int check_allgather(const struct fsmoe_check *c)
{
	const struct fsmoe_rows_args *a = c->args;

	return check(c, a->blocks, members(c->graph, a->group) * a->blocks);
}

static int check_reduce_scatter(const struct fsmoe_check *c)
{
	const struct fsmoe_rows_args *a = c->args;

	return check(c, members(c->graph, a->group) * a->blocks, a->blocks);
}

static fsmoe_tensor_t append(fsmoe_graph_t graph, const struct fsmoe_op *op,
			     const struct fsmoe_rows_args *args, const struct fsmoe_rows_move *move,
			     struct fsmoe_shape shape)
{
	fsmoe_tensor_t y = fsmoe_graph_activation(graph, FSMOE_REAL, shape, "%s", op->name);

	if (fsmoe_graph_append(graph, op, args, sizeof(*args),
			       FSMOE_ACCESSES(move->x, move->from, move->to, y)) < 0)
		return FSMOE_NONE;
	return y;
}

/* Blocks of a tensor (..., c, M). */
static size_t blocks_of(const struct fsmoe_shape *shape)
{
	size_t n = 1;

	for (int i = 0; i + 2 < shape->ndim; i++)
		n *= shape->dim[i];
	return n;
}

fsmoe_tensor_t fsmoe_alltoall_rows(fsmoe_graph_t graph, struct fsmoe_filled filled,
				   struct fsmoe_rows_move move, size_t outer)
{
	const struct fsmoe_shape shape = fsmoe_shape_of(graph, move.x);
	const size_t P = members(graph, move.group);
	const struct fsmoe_rows_args args = {move.group, outer, blocks_of(&shape) / P / outer,
					     filled};

	return P == 1 ? move.x : append(graph, &fsmoe_op_alltoall_rows, &args, &move, shape);
}

fsmoe_tensor_t fsmoe_allgather_rows(fsmoe_graph_t graph, struct fsmoe_filled filled,
				    struct fsmoe_rows_move move)
{
	struct fsmoe_shape shape = fsmoe_shape_of(graph, move.x);
	const size_t P = members(graph, move.group);
	const struct fsmoe_rows_args args = {move.group, 1, blocks_of(&shape), filled};

	shape.dim[0] *= P;
	return P == 1 ? move.x : append(graph, &fsmoe_op_allgather_rows, &args, &move, shape);
}

fsmoe_tensor_t fsmoe_reduce_scatter_rows(fsmoe_graph_t graph, struct fsmoe_filled filled,
					 struct fsmoe_rows_move move)
{
	struct fsmoe_shape shape = fsmoe_shape_of(graph, move.x);
	const size_t P = members(graph, move.group);
	const struct fsmoe_rows_args args = {move.group, 1, blocks_of(&shape) / P, filled};

	shape.dim[0] /= P;
	return P == 1 ? move.x : append(graph, &fsmoe_op_reduce_scatter_rows, &args, &move, shape);
}

const struct fsmoe_op fsmoe_op_alltoall_rows = {
	.name = "alltoall_rows",
	.doc = "the rows that there are, of block p of every rank, go to rank p",
	.kind = FSMOE_KIND_ALLTOALL,
	FSMOE_PORTS(ports),
	.check = check_alltoall,
	.work = work,
	.group = group_of,
	FSMOE_CPU(alltoall_rows),
	FSMOE_CUDA_FLOAT(alltoall_rows),
};

const struct fsmoe_op fsmoe_op_allgather_rows = {
	.name = "allgather_rows",
	.doc = "every rank gets the rows that there are of all, in group order",
	.kind = FSMOE_KIND_ALLGATHER,
	FSMOE_PORTS(ports),
	.check = check_allgather,
	.work = work,
	.group = group_of,
	FSMOE_CPU(allgather_rows),
	FSMOE_CUDA_FLOAT(allgather_rows),
};

const struct fsmoe_op fsmoe_op_reduce_scatter_rows = {
	.name = "reduce_scatter_rows",
	.doc = "every rank gets its rows of the sum, taken in group order, where there are any",
	.kind = FSMOE_KIND_REDUCE_SCATTER,
	FSMOE_PORTS(ports),
	.check = check_reduce_scatter,
	.work = work,
	.group = group_of,
	FSMOE_CPU(reduce_scatter_rows),
	FSMOE_CUDA_FLOAT(reduce_scatter_rows),
};
