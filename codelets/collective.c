/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/collective.h"
#include "codelets/shape.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/ops.h>

static const struct fsmoe_port ports[] = {
	{"x", FSMOE_R, FSMOE_EITHER},
	{"y", FSMOE_W, FSMOE_EITHER},
};

static const struct fsmoe_port in_place_ports[] = {
	{"x", FSMOE_RW, FSMOE_FLOAT},
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
		most = fsmoe_count(t[i]) > most ? fsmoe_count(t[i]) : most;
	return 4.0 * (double)most;
}

static size_t members(fsmoe_graph_t graph, enum fsmoe_group group)
{
	return (size_t)fsmoe_group_size(fsmoe_graph_groups(graph), group);
}

/* The first dimension of access i must be blocks for every member. */
static int check_blocks(const struct fsmoe_check *c, int i)
{
	const struct fsmoe_shape *shape = &c->tensor[i]->shape;
	enum fsmoe_group group = group_of(c->args);
	size_t P = members(c->graph, group);
	char text[FSMOE_SHAPE_TEXT];

	if (shape->ndim > 0 && shape->dim[0] % P == 0)
		return 0;
	return fsmoe_fail(EINVAL, "%s: the %zu ranks of group %s do not divide the rows of '%s' %s",
			  c->op->name, P, fsmoe_group_name(group), c->tensor[i]->name,
			  fsmoe_shape_text(text, shape));
}

static int check_alltoall(const struct fsmoe_check *c)
{
	return check_blocks(c, 0) || fsmoe_check_dtype(c, 1, c->tensor[0]->dtype) ||
			       fsmoe_check_count(c, 1, fsmoe_count(c->tensor[0]))
		       ? -EINVAL
		       : 0;
}

static int check_allgather(const struct fsmoe_check *c)
{
	size_t P = members(c->graph, group_of(c->args));

	return fsmoe_check_dtype(c, 1, c->tensor[0]->dtype) ||
			       fsmoe_check_count(c, 1, P * fsmoe_count(c->tensor[0]))
		       ? -EINVAL
		       : 0;
}

static int check_reduce_scatter(const struct fsmoe_check *c)
{
	size_t P = members(c->graph, group_of(c->args));

	return fsmoe_check_real(c) || check_blocks(c, 0) ||
			       fsmoe_check_count(c, 1, fsmoe_count(c->tensor[0]) / P)
		       ? -EINVAL
		       : 0;
}

static int check_allreduce(const struct fsmoe_check *c)
{
	return fsmoe_check_real(c);
}

/* Appends x -> y of that shape; nothing among one. */
static fsmoe_tensor_t append(fsmoe_graph_t graph, const struct fsmoe_op *op, fsmoe_tensor_t x,
			     struct fsmoe_shape shape, enum fsmoe_group group)
{
	const struct fsmoe_collective_args args = {.group = group};
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(graph, &n);
	enum fsmoe_dtype dtype = x >= 0 && x < n ? info[x].dtype : FSMOE_REAL;
	fsmoe_tensor_t y = fsmoe_graph_activation(graph, dtype, shape, "%s", op->name);

	if (fsmoe_graph_append(graph, op, &args, sizeof(args), FSMOE_ACCESSES(x, y)) < 0)
		return FSMOE_NONE;
	return y;
}

fsmoe_tensor_t fsmoe_alltoall(fsmoe_graph_t graph, fsmoe_tensor_t x, enum fsmoe_group group)
{
	if (members(graph, group) == 1)
		return x;
	return append(graph, &fsmoe_op_alltoall, x, fsmoe_shape_of(graph, x), group);
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
	return grad_by(backward, node, fsmoe_alltoall);
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
	FSMOE_PORTS(ports),
	.check = check_alltoall,
	.work = work,
	.grad = grad_alltoall,
	.group = group_of,
	FSMOE_CPU(alltoall),
	FSMOE_CUDA_FLOAT(alltoall),
};

const struct fsmoe_op fsmoe_op_allgather = {
	.name = "allgather",
	.doc = "every rank gets the rows of all, in group order",
	.kind = FSMOE_KIND_ALLGATHER,
	FSMOE_PORTS(ports),
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
	FSMOE_PORTS(ports),
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
	.check = check_allreduce,
	.work = work,
	.group = group_of,
	FSMOE_CPU(allreduce),
	FSMOE_CUDA_FLOAT(allreduce),
};
