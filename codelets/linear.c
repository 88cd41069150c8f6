/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/linear.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/ops.h>

enum
{
	X,
	W,
	B,
	Y
};

static const struct fsmoe_port ports[] = {
	[X] = {"x", FSMOE_R, 0, "T M"},
	[W] = {"w", FSMOE_R, FSMOE_WEIGHT, "N M"},
	[B] = {"b", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "N"},
	[Y] = {"y", FSMOE_W, FSMOE_EITHER, "T N"},
};

static double work(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)args, (void)n;
	return 2.0 * (double)fsmoe_count(t[X]) * (double)fsmoe_rows(t[W]);
}

fsmoe_tensor_t fsmoe_linear(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t w,
			    fsmoe_tensor_t b)
{
	return fsmoe_linear_as(graph, FSMOE_REAL, x, w, b);
}

fsmoe_tensor_t fsmoe_linear_as(fsmoe_graph_t graph, enum fsmoe_dtype dtype, fsmoe_tensor_t x,
			       fsmoe_tensor_t w, fsmoe_tensor_t b)
{
	const struct fsmoe_tensor_info x_info = {.shape = fsmoe_shape_of(graph, x)};
	const struct fsmoe_tensor_info w_info = {.shape = fsmoe_shape_of(graph, w)};
	fsmoe_tensor_t y = fsmoe_graph_activation(
		graph, dtype, FSMOE_SHAPE2(fsmoe_rows(&x_info), fsmoe_rows(&w_info)), "linear");

	if (fsmoe_graph_append(graph, &fsmoe_op_linear, NULL, 0, FSMOE_ACCESSES(x, w, b, y)) < 0)
		return FSMOE_NONE;
	return y;
}

/* --- backward: the input ------------------------------------------------------------------ */

enum
{
	BI_DY,
	BI_W,
	BI_DX
};

static const struct fsmoe_port backward_input_ports[] = {
	[BI_DY] = {"dy", FSMOE_R, FSMOE_EITHER, "T N"},
	[BI_W] = {"w", FSMOE_R, FSMOE_WEIGHT, "N M"},
	[BI_DX] = {"dx", FSMOE_W, 0, "T M"},
};

static double work_backward_input(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)args, (void)n;
	return 2.0 * (double)fsmoe_count(t[BI_DX]) * (double)fsmoe_columns(t[BI_DY]);
}

/* --- backward: the parameters ------------------------------------------------------------- */

enum
{
	BW_X,
	BW_DY,
	BW_DW,
	BW_DB
};

static const struct fsmoe_port backward_weight_ports[] = {
	[BW_X] = {"x", FSMOE_R, 0, "T M"},
	[BW_DY] = {"dy", FSMOE_R, FSMOE_EITHER, "T N"},
	[BW_DW] = {"dw", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT | FSMOE_FRESH, "N M"},
	[BW_DB] = {"db", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT, "N"},
};

static double work_backward_weight(const void *args, const struct fsmoe_tensor_info *const *t,
				   int n)
{
	(void)args, (void)n;
	return 2.0 * (double)fsmoe_count(t[BW_X]) * (double)fsmoe_columns(t[BW_DY]);
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t x = node->access[X].tensor, w = node->access[W].tensor;
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, node->access[Y].tensor), dw, db;

	if (dy == FSMOE_NONE)
		return 0;
	if (fsmoe_param_gradient(backward, node, W, &dw) ||
	    fsmoe_param_gradient(backward, node, B, &db))
		return -EINVAL;
	if (fsmoe_backward_wants(backward, x))
	{
		fsmoe_tensor_t dx = fsmoe_graph_like(graph, x, "d.");
		fsmoe_graph_append(graph, &fsmoe_op_linear_backward_input, NULL, 0,
				   FSMOE_ACCESSES(dy, w, dx));
		fsmoe_backward_give(backward, x, dx);
	}
	if (dw != FSMOE_NONE || db != FSMOE_NONE)
		fsmoe_graph_append(graph, &fsmoe_op_linear_backward_weight, NULL, 0,
				   FSMOE_ACCESSES(x, dy, dw, db));
	return fsmoe_graph_status(graph);
}

const struct fsmoe_op fsmoe_op_linear = {
	.name = "linear",
	.doc = "x w^T + b",
	.kind = FSMOE_KIND_GEMM,
	FSMOE_PORTS(ports),
	.work = work,
	.grad = grad,
	FSMOE_CPU(linear),
	FSMOE_CUDA(linear),
};

const struct fsmoe_op fsmoe_op_linear_backward_input = {
	.name = "linear.backward_input",
	.doc = "dx = dy w",
	.kind = FSMOE_KIND_GEMM,
	FSMOE_PORTS(backward_input_ports),
	.work = work_backward_input,
	FSMOE_CPU(linear_backward_input),
	FSMOE_CUDA(linear_backward_input),
	FSMOE_CUDA_SCRATCH(linear_backward_input),
};

const struct fsmoe_op fsmoe_op_linear_backward_weight = {
	.name = "linear.backward_weight",
	.doc = "dw += dy^T x, db += sum of the rows of dy",
	.kind = FSMOE_KIND_GEMM,
	FSMOE_PORTS(backward_weight_ports),
	.work = work_backward_weight,
	FSMOE_CPU(linear_backward_weight),
	FSMOE_CUDA(linear_backward_weight),
	FSMOE_CUDA_SCRATCH(linear_backward_weight),
};
