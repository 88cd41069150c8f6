/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cross_entropy.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <fsmoe/ops.h>

enum
{
	LOGITS,
	TARGETS,
	LOSS,
	LSE
};

static const struct fsmoe_port ports[] = {
	[LOGITS] = {"logits", FSMOE_R, 0, "T V"},
	[TARGETS] = {"targets", FSMOE_R, FSMOE_INTS, "T"},
	[LOSS] = {"loss", FSMOE_W, FSMOE_FLOAT, "1"},
	[LSE] = {"lse", FSMOE_W, FSMOE_FLOAT, "T"},
};

enum
{
	B_LOGITS,
	B_TARGETS,
	B_LSE,
	B_DLOSS,
	B_DLOGITS
};

static const struct fsmoe_port backward_ports[] = {
	[B_LOGITS] = {"logits", FSMOE_R, 0, "T V"},
	[B_TARGETS] = {"targets", FSMOE_R, FSMOE_INTS, "T"},
	[B_LSE] = {"lse", FSMOE_R, FSMOE_FLOAT, "T"},
	[B_DLOSS] = {"dloss", FSMOE_R, FSMOE_FLOAT, "1"},
	[B_DLOGITS] = {"dlogits", FSMOE_W, 0, "T V"},
};

fsmoe_tensor_t fsmoe_cross_entropy(fsmoe_graph_t graph, fsmoe_tensor_t logits,
				   fsmoe_tensor_t targets, double scale)
{
	const struct fsmoe_cross_entropy_args args = {.scale = scale};
	const struct fsmoe_tensor_info info = {.shape = fsmoe_shape_of(graph, logits)};
	fsmoe_tensor_t loss = fsmoe_graph_activation(graph, FSMOE_WIDE, FSMOE_SHAPE1(1), "loss");
	fsmoe_tensor_t lse = fsmoe_graph_activation(
		graph, FSMOE_WIDE, FSMOE_SHAPE1(fsmoe_rows(&info)), "cross_entropy.lse");

	if (fsmoe_graph_append(graph, &fsmoe_op_cross_entropy, &args, sizeof(args),
			       FSMOE_ACCESSES(logits, targets, loss, lse)) < 0)
		return FSMOE_NONE;
	return loss;
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t logits = node->access[LOGITS].tensor;
	fsmoe_tensor_t targets = node->access[TARGETS].tensor, lse = node->access[LSE].tensor;
	fsmoe_tensor_t dloss = fsmoe_backward_out(backward, node->access[LOSS].tensor);

	if (dloss == FSMOE_NONE || !fsmoe_backward_wants(backward, logits))
		return 0;

	fsmoe_tensor_t dlogits = fsmoe_graph_like(graph, logits, "d.");
	fsmoe_graph_append(graph, &fsmoe_op_cross_entropy_backward, node->args,
			   sizeof(struct fsmoe_cross_entropy_args),
			   FSMOE_ACCESSES(logits, targets, lse, dloss, dlogits));
	fsmoe_backward_give(backward, logits, dlogits);
	return fsmoe_graph_status(graph);
}

const struct fsmoe_op fsmoe_op_cross_entropy = {
	.name = "cross_entropy",
	.doc = "scaled sum over rows of -log softmax at the target",
	.kind = FSMOE_KIND_REDUCTION,
	FSMOE_PORTS(ports),
	.work = fsmoe_work_bytes,
	.grad = grad,
	FSMOE_CPU(cross_entropy),
	FSMOE_CUDA(cross_entropy),
	FSMOE_CUDA_SCRATCH(cross_entropy),
};

const struct fsmoe_op fsmoe_op_cross_entropy_backward = {
	.name = "cross_entropy.backward",
	.doc = "dlogits = dloss * scale * (softmax - one-hot)",
	.kind = FSMOE_KIND_REDUCTION,
	FSMOE_PORTS(backward_ports),
	.work = fsmoe_work_bytes,
	FSMOE_CPU(cross_entropy_backward),
	FSMOE_CUDA(cross_entropy_backward),
};
