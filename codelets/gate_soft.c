/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_soft.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>

enum
{
	LOGITS,
	DISPATCH,
	COMBINE
};

static const struct fsmoe_port ports[] = {
	[LOGITS] = {"logits", FSMOE_R, FSMOE_FLOAT, "T S"},
	[DISPATCH] = {"dispatch", FSMOE_W, FSMOE_FLOAT, "T S"},
	[COMBINE] = {"combine", FSMOE_W, FSMOE_FLOAT, "T S"},
};

enum
{
	B_DISPATCH,
	B_COMBINE,
	B_DDISPATCH,
	B_DCOMBINE,
	B_DLOGITS
};

static const struct fsmoe_port backward_ports[] = {
	[B_DISPATCH] = {"dispatch", FSMOE_R, FSMOE_FLOAT, "T S"},
	[B_COMBINE] = {"combine", FSMOE_R, FSMOE_FLOAT, "T S"},
	[B_DDISPATCH] = {"ddispatch", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "T S"},
	[B_DCOMBINE] = {"dcombine", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "T S"},
	[B_DLOGITS] = {"dlogits", FSMOE_W, FSMOE_FLOAT, "T S"},
};

static int check_groups(const struct fsmoe_check *c)
{
	const struct fsmoe_gate_soft_args *a = c->args;
	size_t rows = fsmoe_rows(c->tensor[0]);

	if (a->group < 1 || rows % a->group)
		return fsmoe_fail(EINVAL, "%s: %zu tokens do not divide into routing groups of %zu",
				  c->op->name, rows, a->group);
	return 0;
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	const struct fsmoe_access *a = node->access;
	fsmoe_tensor_t logits = a[LOGITS].tensor, dlogits;
	fsmoe_tensor_t ddispatch = fsmoe_backward_out(backward, a[DISPATCH].tensor);
	fsmoe_tensor_t dcombine = fsmoe_backward_out(backward, a[COMBINE].tensor);

	if (!fsmoe_backward_wants(backward, logits))
		return 0;
	dlogits = fsmoe_graph_like(graph, logits, "d.");
	fsmoe_graph_append(graph, &fsmoe_op_gate_soft_backward, node->args,
			   sizeof(struct fsmoe_gate_soft_args),
			   FSMOE_ACCESSES(a[DISPATCH].tensor, a[COMBINE].tensor, ddispatch,
					  dcombine, dlogits));
	fsmoe_backward_give(backward, logits, dlogits);
	return fsmoe_graph_status(graph);
}

struct fsmoe_gate_soft fsmoe_gate_soft(fsmoe_graph_t graph, fsmoe_tensor_t logits, size_t group)
{
	struct fsmoe_shape shape = fsmoe_shape_of(graph, logits);
	const struct fsmoe_gate_soft out = {
		.dispatch = fsmoe_graph_activation(graph, FSMOE_WIDE, shape, "gate.dispatch"),
		.combine = fsmoe_graph_activation(graph, FSMOE_WIDE, shape, "gate.combine"),
	};

	if (fsmoe_graph_append(graph, &fsmoe_op_gate_soft, &(struct fsmoe_gate_soft_args){group},
			       sizeof(struct fsmoe_gate_soft_args),
			       FSMOE_ACCESSES(logits, out.dispatch, out.combine)) < 0)
		return (struct fsmoe_gate_soft){FSMOE_NONE, FSMOE_NONE};
	return out;
}

const struct fsmoe_op fsmoe_op_gate_soft = {
	.name = "gate_soft",
	.doc = "softmax of the logits over a group's tokens, and over its slots",
	.kind = FSMOE_KIND_ROUTING,
	FSMOE_PORTS(ports),
	.check = check_groups,
	.work = fsmoe_work_bytes,
	.grad = grad,
	FSMOE_CPU(gate_soft),
	FSMOE_CUDA_FLOAT(gate_soft),
};

const struct fsmoe_op fsmoe_op_gate_soft_backward = {
	.name = "gate_soft.backward",
	.doc = "gradient of the logits from both softmaxes",
	.kind = FSMOE_KIND_REDUCTION,
	FSMOE_PORTS(backward_ports),
	.check = check_groups,
	.work = fsmoe_work_bytes,
	FSMOE_CPU(gate_soft_backward),
	FSMOE_CUDA_FLOAT(gate_soft_backward),
};
