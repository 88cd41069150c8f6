/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_loss.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>

/* The inputs stand in the same places in both rows. Sums (5, E): what a group adds up. */
enum
{
	LOGITS,
	NOISY,
	DEVIATION,
	EXPERT,
	SUMS,
	LOSS, /* backward: its gradient */
	DLOGITS,
	DNOISY,
	DDEVIATION,
	N_BACKWARD
};

#define INPUTS                                                                                     \
	[LOGITS] = {"logits", FSMOE_R, FSMOE_FLOAT, "T E"},                                        \
	[NOISY] = {"noisy", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "T E"},                         \
	[DEVIATION] = {"deviation", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "T E"},                 \
	[EXPERT] = {"expert", FSMOE_R, FSMOE_OPTIONAL | FSMOE_INTS, "T _"},                        \
	[SUMS] = {"sums", FSMOE_W, FSMOE_SCRATCH | FSMOE_FLOAT, "5 E"}

static const struct fsmoe_port ports[] = {
	INPUTS,
	[LOSS] = {"loss", FSMOE_W, FSMOE_FLOAT, "1"},
};

static const struct fsmoe_port backward_ports[] = {
	INPUTS,
	[LOSS] = {"dloss", FSMOE_R, FSMOE_FLOAT, "1"},
	[DLOGITS] = {"dlogits", FSMOE_W, FSMOE_FLOAT, "T E"},
	[DNOISY] = {"dnoisy", FSMOE_W, FSMOE_OPTIONAL | FSMOE_FLOAT, "T E"},
	[DDEVIATION] = {"ddeviation", FSMOE_W, FSMOE_OPTIONAL | FSMOE_FLOAT, "T E"},
};

static int check_gate_loss(const struct fsmoe_check *c)
{
	const struct fsmoe_gate_loss_args *a = c->args;
	size_t rows = fsmoe_rows(c->tensor[LOGITS]), experts = fsmoe_columns(c->tensor[LOGITS]);

	if (a->group < 1 || rows % a->group || a->topk > experts)
		return fsmoe_fail(EINVAL, "%s: %zu tokens in groups of %zu, %zu experts of %zu",
				  c->op->name, rows, a->group, a->topk, experts);
	if (!c->tensor[NOISY] != !c->tensor[DEVIATION] || (a->balance != 0 && !c->tensor[EXPERT]))
		return fsmoe_fail(EINVAL,
				  "%s: noisy logits come with their deviation, and a balance loss "
				  "needs the first choices",
				  c->op->name);
	return 0;
}

static fsmoe_tensor_t make_sums(fsmoe_graph_t graph, fsmoe_tensor_t logits)
{
	return fsmoe_graph_activation(graph, FSMOE_WIDE,
				      FSMOE_SHAPE2(5, fsmoe_shape_of(graph, logits).dim[1]),
				      "gate.sums");
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	const struct fsmoe_access *a = node->access;
	struct fsmoe_access access[N_BACKWARD];
	fsmoe_tensor_t dloss = fsmoe_backward_out(backward, a[LOSS].tensor);

	if (dloss == FSMOE_NONE || !fsmoe_backward_wants(backward, a[LOGITS].tensor))
		return 0;
	for (int i = 0; i < SUMS; i++)
		access[i] = (struct fsmoe_access){a[i].tensor, (short)i, 0};
	access[SUMS] = (struct fsmoe_access){make_sums(graph, a[LOGITS].tensor), SUMS, 0};
	access[LOSS] = (struct fsmoe_access){dloss, LOSS, 0};
	for (int i = LOGITS; i <= DEVIATION; i++)
	{
		fsmoe_tensor_t d = a[i].tensor == FSMOE_NONE
					   ? FSMOE_NONE
					   : fsmoe_graph_like(graph, a[i].tensor, "d.");
		access[DLOGITS + i] = (struct fsmoe_access){d, (short)(DLOGITS + i), 0};
	}
	fsmoe_graph_append(graph, &fsmoe_op_gate_loss_backward, node->args,
			   sizeof(struct fsmoe_gate_loss_args), access, N_BACKWARD);
	for (int i = LOGITS; i <= DEVIATION; i++)
		if (fsmoe_backward_wants(backward, a[i].tensor))
			fsmoe_backward_give(backward, a[i].tensor, access[DLOGITS + i].tensor);
	return fsmoe_graph_status(graph);
}

fsmoe_tensor_t fsmoe_gate_loss(fsmoe_graph_t graph, const struct fsmoe_gate_loss_inputs *in,
			       const struct fsmoe_gate_loss_args *args)
{
	fsmoe_tensor_t loss =
		fsmoe_graph_activation(graph, FSMOE_WIDE, FSMOE_SHAPE1(1), "gate.loss");

	if (fsmoe_graph_append(graph, &fsmoe_op_gate_loss, args, sizeof(*args),
			       FSMOE_ACCESSES(in->logits, in->noisy, in->deviation, in->expert,
					      make_sums(graph, in->logits), loss)) < 0)
		return FSMOE_NONE;
	return loss;
}

const struct fsmoe_op fsmoe_op_gate_loss = {
	.name = "gate_loss",
	.doc = "balance, importance and load, and z losses of a gate",
	.kind = FSMOE_KIND_ROUTING,
	FSMOE_PORTS(ports),
	.check = check_gate_loss,
	.work = fsmoe_work_bytes,
	.grad = grad,
	FSMOE_CPU(gate_loss),
	FSMOE_CUDA_FLOAT(gate_loss),
	FSMOE_CUDA_SCRATCH(gate_loss),
};

const struct fsmoe_op fsmoe_op_gate_loss_backward = {
	.name = "gate_loss.backward",
	.doc = "gradients of logits and noise from the auxiliary losses",
	.kind = FSMOE_KIND_ROUTING,
	FSMOE_PORTS(backward_ports),
	.check = check_gate_loss,
	.work = fsmoe_work_bytes,
	FSMOE_CPU(gate_loss_backward),
	FSMOE_CUDA_FLOAT(gate_loss_backward),
	FSMOE_CUDA_SCRATCH(gate_loss_backward),
};
