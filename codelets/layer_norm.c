/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/layer_norm.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/ops.h>

enum
{
	X,
	GAMMA,
	BETA,
	Y,
	MOMENTS
};

static const struct fsmoe_port ports[] = {
	[X] = {"x", FSMOE_R, 0, "T M"},
	[GAMMA] = {"gamma", FSMOE_R, FSMOE_FLOAT, "M"},
	[BETA] = {"beta", FSMOE_R, FSMOE_FLOAT, "M"},
	[Y] = {"y", FSMOE_W, 0, "T M"},
	[MOMENTS] = {"moments", FSMOE_W, FSMOE_FLOAT, "T 2"},
};

enum
{
	B_X,
	B_GAMMA,
	B_MOMENTS,
	B_DY,
	B_DX,
	B_DGAMMA,
	B_DBETA
};

static const struct fsmoe_port backward_ports[] = {
	[B_X] = {"x", FSMOE_R, 0, "T M"},
	[B_GAMMA] = {"gamma", FSMOE_R, FSMOE_FLOAT, "M"},
	[B_MOMENTS] = {"moments", FSMOE_R, FSMOE_FLOAT, "T 2"},
	[B_DY] = {"dy", FSMOE_R, 0, "T M"},
	[B_DX] = {"dx", FSMOE_W, FSMOE_OPTIONAL, "T M"},
	[B_DGAMMA] = {"dgamma", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT, "M"},
	[B_DBETA] = {"dbeta", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT, "M"},
};

fsmoe_tensor_t fsmoe_layer_norm(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t gamma,
				fsmoe_tensor_t beta)
{
	const struct fsmoe_tensor_info x_info = {.shape = fsmoe_shape_of(graph, x)};
	fsmoe_tensor_t y = fsmoe_graph_activation(graph, FSMOE_REAL, x_info.shape, "layer_norm");
	fsmoe_tensor_t moments = fsmoe_graph_activation(
		graph, FSMOE_WIDE, FSMOE_SHAPE2(fsmoe_rows(&x_info), 2), "layer_norm.moments");

	if (fsmoe_graph_append(graph, &fsmoe_op_layer_norm, NULL, 0,
			       FSMOE_ACCESSES(x, gamma, beta, y, moments)) < 0)
		return FSMOE_NONE;
	return y;
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t x = node->access[X].tensor, gamma = node->access[GAMMA].tensor;
	fsmoe_tensor_t moments = node->access[MOMENTS].tensor, dx = FSMOE_NONE;
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, node->access[Y].tensor);
	fsmoe_tensor_t dgamma, dbeta;

	if (dy == FSMOE_NONE)
		return 0;
	if (fsmoe_param_gradient(backward, node, GAMMA, &dgamma) ||
	    fsmoe_param_gradient(backward, node, BETA, &dbeta))
		return -EINVAL;
	if (fsmoe_backward_wants(backward, x))
		dx = fsmoe_graph_like(graph, x, "d.");
	if (dx == FSMOE_NONE && dgamma == FSMOE_NONE && dbeta == FSMOE_NONE)
		return fsmoe_graph_status(graph);
	fsmoe_graph_append(graph, &fsmoe_op_layer_norm_backward, NULL, 0,
			   FSMOE_ACCESSES(x, gamma, moments, dy, dx, dgamma, dbeta));
	if (dx != FSMOE_NONE)
		fsmoe_backward_give(backward, x, dx);
	return fsmoe_graph_status(graph);
}

const struct fsmoe_op fsmoe_op_layer_norm = {
	.name = "layer_norm",
	.doc = "rows to mean 0 and variance 1, times gamma, plus beta",
	.kind = FSMOE_KIND_REDUCTION,
	FSMOE_PORTS(ports),
	.work = fsmoe_work_bytes,
	.grad = grad,
	FSMOE_CPU(layer_norm),
	FSMOE_CUDA(layer_norm),
};

const struct fsmoe_op fsmoe_op_layer_norm_backward = {
	.name = "layer_norm.backward",
	.doc = "dx; dgamma and dbeta +=",
	.kind = FSMOE_KIND_REDUCTION,
	FSMOE_PORTS(backward_ports),
	.work = fsmoe_work_bytes,
	FSMOE_CPU(layer_norm_backward),
	FSMOE_CUDA(layer_norm_backward),
	FSMOE_CUDA_SCRATCH(layer_norm_backward),
};
