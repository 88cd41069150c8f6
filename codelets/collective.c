/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/collective.h"
#include "codelets/shape.h"
#include "comm/comm.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/ops.h>

static const struct fsmoe_port allgather_ports[] = {
	{"x", FSMOE_R, FSMOE_EITHER | FSMOE_ANY_TYPE, "n"},
	{"y", FSMOE_W, FSMOE_EITHER | FSMOE_ANY_TYPE, "R*n"},
};

static const struct fsmoe_port reduce_scatter_ports[] = {
	{"x", FSMOE_R, FSMOE_EITHER, "R*n"},
	{"y", FSMOE_W, FSMOE_EITHER, "n"},
};

static const struct fsmoe_port alltoall_ports[] = {
	{"x", FSMOE_R, FSMOE_OPTIONAL | FSMOE_EITHER | FSMOE_ANY_TYPE, "n"},
	{"y", FSMOE_W, FSMOE_OPTIONAL | FSMOE_EITHER | FSMOE_ANY_TYPE, "n"},
};

static const struct fsmoe_port gather_ports[] = {
	{"x", FSMOE_R, FSMOE_EITHER | FSMOE_ANY_TYPE, "n"},
	{"y", FSMOE_W, FSMOE_OPTIONAL | FSMOE_EITHER | FSMOE_ANY_TYPE, "R*n"},
};

static const struct fsmoe_port scatter_ports[] = {
	{"x", FSMOE_R, FSMOE_OPTIONAL | FSMOE_EITHER | FSMOE_ANY_TYPE, "R*n"},
	{"y", FSMOE_W, FSMOE_EITHER | FSMOE_ANY_TYPE, "n"},
};

static const struct fsmoe_port in_place_ports[] = {
	{"x", FSMOE_RW, FSMOE_FLOAT, "..."},
};

static enum fsmoe_group group_of(const void *args)
{
	return ((const struct fsmoe_collective_args *)args)->group;
}

/* Bytes of one rank's larger buffer. */
static double work(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	size_t most = 0;

	(void)args;
	for (int i = 0; i < n; i++)
		most = t[i] && fsmoe_count(t[i]) > most ? fsmoe_count(t[i]) : most;
	return 4.0 * (double)most;
}

static size_t members(fsmoe_graph_t graph, enum fsmoe_group group)
{
	return (size_t)fsmoe_group_size(fsmoe_graph_groups(graph), group);
}

/* A dimension must be blocks for every member. */
static int check_blocks(const char *op, fsmoe_graph_t graph, const struct fsmoe_tensor_info *x,
			int axis, enum fsmoe_group group)
{
	size_t P = members(graph, group);
	char text[FSMOE_SHAPE_TEXT];

	if (x->shape.ndim > axis && x->shape.dim[axis] % P == 0)
		return 0;
	return fsmoe_fail(EINVAL, "%s: the %zu ranks of group %s do not divide the %s of '%s' %s",
			  op, P, fsmoe_group_name(group), axis ? "blocks" : "rows", x->name,
			  fsmoe_shape_text(text, &x->shape));
}

static int check_alltoall(const struct fsmoe_check *c)
{
	const size_t outer = ((const struct fsmoe_collective_args *)c->args)->outer;

	if (!c->tensor[0] && !c->tensor[1])
		return 0;
	if (!c->tensor[0] || !c->tensor[1] || outer < 1)
		return fsmoe_fail(EINVAL, "alltoall: x and y, or neither of them");
	if (fsmoe_count(c->tensor[0]) % (outer * members(c->graph, group_of(c->args))))
		return fsmoe_fail(EINVAL, "alltoall: '%s' is not %zu times a block for everybody",
				  c->tensor[0]->name, outer);
	return 0;
}

/* One of the accesses, `all`, has what everybody's `one` has together, on rank 0 and nowhere
 * else. */
static int check_rooted(const struct fsmoe_check *c, int one, int all)
{
	enum fsmoe_group group = group_of(c->args);
	int root = fsmoe_group_rank(fsmoe_graph_groups(c->graph), group) == 0;
	size_t outer = ((const struct fsmoe_collective_args *)c->args)->outer;

	if (root != (c->tensor[all] != NULL))
		return fsmoe_fail(EINVAL, "%s: rank 0 of group %s has all, and nobody else",
				  c->op->name, fsmoe_group_name(group));
	if (outer < 1 || fsmoe_count(c->tensor[one]) % outer)
		return fsmoe_fail(EINVAL, "%s: '%s' does not divide into %zu pieces", c->op->name,
				  c->tensor[one]->name, outer);
	fsmoe_check_letter(c, 'R', members(c->graph, group));
	return 0;
}

static int check_gather(const struct fsmoe_check *c)
{
	return check_rooted(c, 0, 1);
}

static int check_scatter(const struct fsmoe_check *c)
{
	return check_rooted(c, 1, 0);
}

static int check_allgather(const struct fsmoe_check *c)
{
	fsmoe_check_letter(c, 'R', members(c->graph, group_of(c->args)));
	return 0;
}

static int check_reduce_scatter(const struct fsmoe_check *c)
{
	const enum fsmoe_group group = group_of(c->args);

	fsmoe_check_letter(c, 'R', members(c->graph, group));
	return check_blocks(c->op->name, c->graph, c->tensor[0], 0, group);
}

static enum fsmoe_dtype dtype_of(fsmoe_graph_t graph, fsmoe_tensor_t x)
{
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(graph, &n);

	return x >= 0 && x < n ? info[x].dtype : FSMOE_REAL;
}

/* Appends x -> y of that shape. */
static fsmoe_tensor_t append(fsmoe_graph_t graph, const struct fsmoe_op *op, fsmoe_tensor_t x,
			     struct fsmoe_shape shape, enum fsmoe_group group)
{
	const struct fsmoe_collective_args args = {.group = group, .outer = 1};
	fsmoe_tensor_t y = fsmoe_graph_activation(graph, dtype_of(graph, x), shape, "%s", op->name);

	if (fsmoe_graph_append(graph, op, &args, sizeof(args), FSMOE_ACCESSES(x, y)) < 0)
		return FSMOE_NONE;
	return y;
}

fsmoe_tensor_t fsmoe_alltoall(fsmoe_graph_t graph, fsmoe_tensor_t x, enum fsmoe_group group)
{
	if (x == FSMOE_NONE && !fsmoe_graph_status(graph))
		fsmoe_graph_fail(graph, fsmoe_fail(EINVAL, "alltoall: got no tensor"));
	return fsmoe_alltoall_axis(graph, x, 0, group);
}

/* Product of the dimensions before `axis`. */
static size_t before(const struct fsmoe_shape *shape, int axis)
{
	size_t n = 1;

	for (int i = 0; i < axis; i++)
		n *= shape->dim[i];
	return n;
}

fsmoe_tensor_t fsmoe_alltoall_axis(fsmoe_graph_t graph, fsmoe_tensor_t x, int axis,
				   enum fsmoe_group group)
{
	const struct fsmoe_shape shape = fsmoe_shape_of(graph, x);
	const struct fsmoe_collective_args args = {.group = group, .outer = before(&shape, axis)};
	fsmoe_tensor_t y = FSMOE_NONE;
	int n;

	if (members(graph, group) == 1 || fsmoe_graph_status(graph))
		return x;
	if (x != FSMOE_NONE &&
	    check_blocks("alltoall", graph, &fsmoe_graph_tensors(graph, &n)[x], axis, group))
	{
		fsmoe_graph_fail(graph, -EINVAL);
		return FSMOE_NONE;
	}
	if (x != FSMOE_NONE)
		y = fsmoe_graph_activation(graph, dtype_of(graph, x), shape, "alltoall");
	fsmoe_graph_append(graph, &fsmoe_op_alltoall, &args, sizeof(args), FSMOE_ACCESSES(x, y));
	return fsmoe_graph_status(graph) ? FSMOE_NONE : y;
}

fsmoe_tensor_t fsmoe_gather(fsmoe_graph_t graph, fsmoe_tensor_t x, int axis, enum fsmoe_group group)
{
	struct fsmoe_shape shape = fsmoe_shape_of(graph, x);
	const struct fsmoe_collective_args args = {.group = group, .outer = before(&shape, axis)};
	fsmoe_tensor_t y = FSMOE_NONE;

	for (int i = shape.ndim++; i > axis; i--)
		shape.dim[i] = shape.dim[i - 1];
	shape.dim[axis] = members(graph, group);
	if (fsmoe_group_rank(fsmoe_graph_groups(graph), group) == 0)
		y = fsmoe_graph_activation(graph, dtype_of(graph, x), shape, "gather");
	fsmoe_graph_append(graph, &fsmoe_op_gather, &args, sizeof(args), FSMOE_ACCESSES(x, y));
	return fsmoe_graph_status(graph) ? FSMOE_NONE : y;
}

fsmoe_tensor_t fsmoe_scatter(fsmoe_graph_t graph, fsmoe_tensor_t x, int axis,
			     struct fsmoe_shape shape, enum fsmoe_group group)
{
	const struct fsmoe_collective_args args = {.group = group, .outer = before(&shape, axis)};
	fsmoe_tensor_t y = fsmoe_graph_activation(graph, FSMOE_REAL, shape, "scatter");

	if (fsmoe_graph_append(graph, &fsmoe_op_scatter, &args, sizeof(args),
			       FSMOE_ACCESSES(x, y)) < 0)
		return FSMOE_NONE;
	return y;
}

struct fsmoe_pattern fsmoe_collective_pattern(const struct fsmoe_call *call,
					      enum fsmoe_pattern_kind kind, size_t real_bytes)
{
	const struct fsmoe_collective_args *args = call->args;
	const struct fsmoe_tensor_info *one = call->tensor[kind == FSMOE_PATTERN_SCATTER ? 1 : 0];
	const size_t parts = kind == FSMOE_PATTERN_ALLTOALL ? (size_t)call->comm->size : 1;

	return (struct fsmoe_pattern){
		.kind = kind,
		.size = call->comm->size,
		.rank = call->comm->rank,
		.outer = args->outer,
		.bytes = fsmoe_count(one) / args->outer / parts *
			 (one->dtype == FSMOE_INT32 ? sizeof(int32_t) : real_bytes),
	};
}

fsmoe_tensor_t fsmoe_allgather(fsmoe_graph_t graph, fsmoe_tensor_t x, enum fsmoe_group group)
{
	struct fsmoe_shape shape = fsmoe_shape_of(graph, x);

	if (members(graph, group) == 1)
		return x;
	if (shape.ndim == 0)
		shape = FSMOE_SHAPE1(1);
	shape.dim[0] *= members(graph, group);
	return append(graph, &fsmoe_op_allgather, x, shape, group);
}

fsmoe_tensor_t fsmoe_reduce_scatter(fsmoe_graph_t graph, fsmoe_tensor_t x, enum fsmoe_group group)
{
	struct fsmoe_shape shape = fsmoe_shape_of(graph, x);

	if (members(graph, group) == 1)
		return x;
	shape.dim[0] /= members(graph, group);
	return append(graph, &fsmoe_op_reduce_scatter, x, shape, group);
}

void fsmoe_allreduce(fsmoe_graph_t graph, fsmoe_tensor_t x, enum fsmoe_group group)
{
	const struct fsmoe_collective_args args = {.group = group};

	if (members(graph, group) > 1)
		fsmoe_graph_append(graph, &fsmoe_op_allreduce, &args, sizeof(args),
				   FSMOE_ACCESSES(x));
}

/* The transpose of an exchange is an exchange: of AlltoAll itself, of AllGather ReduceScatter. */
static int grad_by(struct fsmoe_backward *backward, const struct fsmoe_node *node,
		   fsmoe_tensor_t (*transpose)(fsmoe_graph_t, fsmoe_tensor_t, enum fsmoe_group))
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t x = node->access[0].tensor;
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, node->access[1].tensor);

	if (dy == FSMOE_NONE || !fsmoe_backward_wants(backward, x))
		return 0;
	fsmoe_backward_give(backward, x, transpose(graph, dy, group_of(node->args)));
	return fsmoe_graph_status(graph);
}

static int grad_alltoall(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	const struct fsmoe_collective_args *args = node->args;
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t x = node->access[0].tensor, y = node->access[1].tensor, dy, dx;

	dy = y == FSMOE_NONE ? FSMOE_NONE : fsmoe_backward_out(backward, y);
	if (dy == FSMOE_NONE || !fsmoe_backward_wants(backward, x))
		return 0;
	dx = fsmoe_graph_activation(graph, dtype_of(graph, x), fsmoe_shape_of(graph, dy),
				    "alltoall");
	fsmoe_graph_append(graph, &fsmoe_op_alltoall, args, sizeof(*args), FSMOE_ACCESSES(dy, dx));
	fsmoe_backward_give(backward, x, dx);
	return fsmoe_graph_status(graph);
}

static int grad_allgather(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	return grad_by(backward, node, fsmoe_reduce_scatter);
}

static int grad_reduce_scatter(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	return grad_by(backward, node, fsmoe_allgather);
}

const struct fsmoe_op fsmoe_op_alltoall = {
	.name = "alltoall",
	.doc = "block p of every rank goes to rank p",
	.kind = FSMOE_KIND_ALLTOALL,
	FSMOE_PORTS(alltoall_ports),
	.check = check_alltoall,
	.work = work,
	.grad = grad_alltoall,
	.group = group_of,
	FSMOE_CPU(alltoall),
	FSMOE_CUDA_FLOAT(alltoall),
};

const struct fsmoe_op fsmoe_op_gather = {
	.name = "gather",
	.doc = "rank 0 gets the blocks of all, in group order",
	.kind = FSMOE_KIND_ALLTOALL,
	FSMOE_PORTS(gather_ports),
	.check = check_gather,
	.work = work,
	.group = group_of,
	FSMOE_CPU(gather),
	FSMOE_CUDA_FLOAT(gather),
};

const struct fsmoe_op fsmoe_op_scatter = {
	.name = "scatter",
	.doc = "block p of rank 0 goes to rank p",
	.kind = FSMOE_KIND_ALLTOALL,
	FSMOE_PORTS(scatter_ports),
	.check = check_scatter,
	.work = work,
	.group = group_of,
	FSMOE_CPU(scatter),
	FSMOE_CUDA_FLOAT(scatter),
};

const struct fsmoe_op fsmoe_op_allgather = {
	.name = "allgather",
	.doc = "every rank gets the rows of all, in group order",
	.kind = FSMOE_KIND_ALLGATHER,
	FSMOE_PORTS(allgather_ports),
	.check = check_allgather,
	.work = work,
	.grad = grad_allgather,
	.group = group_of,
	FSMOE_CPU(allgather),
	FSMOE_CUDA_FLOAT(allgather),
};

const struct fsmoe_op fsmoe_op_reduce_scatter = {
	.name = "reduce_scatter",
	.doc = "every rank gets its block of the sum, taken in group order",
	.kind = FSMOE_KIND_REDUCE_SCATTER,
	FSMOE_PORTS(reduce_scatter_ports),
	.check = check_reduce_scatter,
	.work = work,
	.grad = grad_reduce_scatter,
	.group = group_of,
	FSMOE_CPU(reduce_scatter),
	FSMOE_CUDA_FLOAT(reduce_scatter),
};

const struct fsmoe_op fsmoe_op_allreduce = {
	.name = "allreduce",
	.doc = "every rank gets the sum, taken in group order, in place",
	.kind = FSMOE_KIND_ALLREDUCE,
	FSMOE_PORTS(in_place_ports),
	.work = work,
	.group = group_of,
	FSMOE_CPU(allreduce),
	FSMOE_CUDA_FLOAT(allreduce),
};
