/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/residual.h"
#include "codelets/shape.h"

#include <errno.h>
#include <fsmoe/ops.h>

enum
{
	X,
	F,
	BIAS,
	Y
};

static const struct fsmoe_port ports[] = {
	[X] = {"x", FSMOE_R, 0, "T M"},
	[F] = {"f", FSMOE_R, 0, "T M"},
	[BIAS] = {"bias", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "M"},
	[Y] = {"y", FSMOE_W, 0, "T M"},
};

static const struct fsmoe_port backward_bias_ports[] = {
	{"dy", FSMOE_R, 0, "T M"},
	{"dbias", FSMOE_RW, FSMOE_FLOAT, "M"},
};

fsmoe_tensor_t fsmoe_residual(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t f,
			      fsmoe_tensor_t bias)
{
	fsmoe_tensor_t y =
		fsmoe_graph_activation(graph, FSMOE_REAL, fsmoe_shape_of(graph, x), "residual");

	if (fsmoe_graph_append(graph, &fsmoe_op_residual, NULL, 0, FSMOE_ACCESSES(x, f, bias, y)) <
	    0)
		return FSMOE_NONE;
	return y;
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, node->access[Y].tensor);
	fsmoe_tensor_t dbias;

	if (dy == FSMOE_NONE)
		return 0;
	if (fsmoe_param_gradient(backward, node, BIAS, &dbias))
		return -EINVAL;
	for (int i = X; i <= F; i++)
		if (fsmoe_backward_wants(backward, node->access[i].tensor))
			fsmoe_backward_give(backward, node->access[i].tensor, dy);
	if (dbias != FSMOE_NONE)
		fsmoe_graph_append(graph, &fsmoe_op_residual_backward_bias, NULL, 0,
				   FSMOE_ACCESSES(dy, dbias));
	return fsmoe_graph_status(graph);
}

const struct fsmoe_op fsmoe_op_residual = {
	.name = "residual",
	.doc = "x + f + bias",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(ports),
	.work = fsmoe_work_bytes,
	.grad = grad,
	FSMOE_CPU(residual),
	FSMOE_CUDA(residual),
};

const struct fsmoe_op fsmoe_op_residual_backward_bias = {
	.name = "residual.backward_bias",
	.doc = "dbias += sum of the rows of dy",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(backward_bias_ports),
	.work = fsmoe_work_bytes,
	FSMOE_CPU(residual_backward_bias),
	FSMOE_CUDA(residual_backward_bias),
	FSMOE_CUDA_SCRATCH(residual_backward_bias),
};
