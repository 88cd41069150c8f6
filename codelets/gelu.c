/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gelu.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <fsmoe/ops.h>

static const struct fsmoe_port ports[] = {
	{"x", FSMOE_R, 0, "n"},
	{"y", FSMOE_W, 0, "n"},
};

static const struct fsmoe_port backward_ports[] = {
	{"x", FSMOE_R, 0, "n"},
	{"dy", FSMOE_R, 0, "n"},
	{"dx", FSMOE_W, 0, "n"},
};

fsmoe_tensor_t fsmoe_gelu(fsmoe_graph_t graph, fsmoe_tensor_t x)
{
	fsmoe_tensor_t y =
		fsmoe_graph_activation(graph, FSMOE_REAL, fsmoe_shape_of(graph, x), "gelu");

	if (fsmoe_graph_append(graph, &fsmoe_op_gelu, NULL, 0, FSMOE_ACCESSES(x, y)) < 0)
		return FSMOE_NONE;
	return y;
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t x = node->access[0].tensor;
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, node->access[1].tensor);

	if (dy == FSMOE_NONE || !fsmoe_backward_wants(backward, x))
		return 0;

	fsmoe_tensor_t dx = fsmoe_graph_like(graph, x, "d.");
	fsmoe_graph_append(graph, &fsmoe_op_gelu_backward, NULL, 0, FSMOE_ACCESSES(x, dy, dx));
	fsmoe_backward_give(backward, x, dx);
	return fsmoe_graph_status(graph);
}

const struct fsmoe_op fsmoe_op_gelu = {
	.name = "gelu",
	.doc = "tanh GELU, element by element",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(ports),
	.work = fsmoe_work_bytes,
	.grad = grad,
	FSMOE_CPU(gelu),
	FSMOE_CUDA(gelu),
};

const struct fsmoe_op fsmoe_op_gelu_backward = {
	.name = "gelu.backward",
	.doc = "dx = dy times the derivative of tanh GELU at x",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(backward_ports),
	.work = fsmoe_work_bytes,
	FSMOE_CPU(gelu_backward),
	FSMOE_CUDA(gelu_backward),
};
