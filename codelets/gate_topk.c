/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_topk.h"
#include "codelets/shape.h"

#include <errno.h>
#include <fsmoe/error.h>

enum
{
	X,
	WG,
	EXPERT,
	SLOT,
	WEIGHT,
	PROBS,
	COUNTS
};

static const struct fsmoe_port ports[] = {
	[X] = {"x", FSMOE_R, 0, "T M"},
	[WG] = {"wg", FSMOE_R, FSMOE_FLOAT, "E M"},
	[EXPERT] = {"expert", FSMOE_W, FSMOE_INTS, "T k"},
	[SLOT] = {"slot", FSMOE_W, FSMOE_INTS, "T k"},
	[WEIGHT] = {"weight", FSMOE_W, FSMOE_FLOAT, "T k"},
	[PROBS] = {"probs", FSMOE_W, FSMOE_FLOAT, "T E"},
	[COUNTS] = {"counts", FSMOE_W, FSMOE_INTS, "G E"},
};

static int check_gate(const struct fsmoe_check *c)
{
	const struct fsmoe_gate_topk_args *args = c->args;
	size_t rows = fsmoe_rows(c->tensor[X]), experts = fsmoe_rows(c->tensor[WG]);

	if (args->topk < 1 || args->topk > experts)
		return fsmoe_fail(
			EINVAL,
			"gate_topk: %zu experts per token of %zu are asked for: choose from 1 "
			"to all",
			args->topk, experts);
	if (args->group < 1 || rows % args->group)
		return fsmoe_fail(EINVAL,
				  "gate_topk: %zu tokens do not divide into routing groups of %zu",
				  rows, args->group);
	if (args->capacity < 1)
		return fsmoe_fail(EINVAL, "gate_topk: an expert needs at least one slot");
	if (rows / args->group * args->capacity > INT32_MAX)
		return fsmoe_fail(EINVAL,
				  "gate_topk: slot numbers do not fit 32 bits: %zu groups of %zu",
				  rows / args->group, args->capacity);
	fsmoe_check_letter(c, 'k', args->topk);
	fsmoe_check_letter(c, 'G', rows / args->group);
	return 0;
}

static double work(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)args, (void)n;
	return 2.0 * (double)fsmoe_count(t[X]) * (double)fsmoe_rows(t[WG]);
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	const struct fsmoe_access *a = node->access;
	const struct fsmoe_gate_topk forward = {a[EXPERT].tensor, a[SLOT].tensor, a[WEIGHT].tensor,
						a[PROBS].tensor, a[COUNTS].tensor};
	fsmoe_tensor_t x = a[X].tensor, wg = a[WG].tensor, dx;
	fsmoe_tensor_t dweight = fsmoe_backward_out(backward, forward.weight);
	fsmoe_tensor_t dprobs = fsmoe_backward_out(backward, forward.probs);

	if (dweight == FSMOE_NONE && dprobs == FSMOE_NONE)
		return 0;
	dx = fsmoe_gate_topk_backward(fsmoe_backward_graph(backward), x, wg, &forward, dweight,
				      dprobs, fsmoe_backward_param(backward, wg),
				      fsmoe_backward_wants(backward, x));
	if (dx != FSMOE_NONE)
		fsmoe_backward_give(backward, x, dx);
	return fsmoe_graph_status(fsmoe_backward_graph(backward));
}

struct fsmoe_gate_topk fsmoe_gate_topk(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t wg,
				       const struct fsmoe_gate_topk_args *args)
{
	const struct fsmoe_gate_topk none = {FSMOE_NONE, FSMOE_NONE, FSMOE_NONE, FSMOE_NONE,
					     FSMOE_NONE};
	size_t rows = fsmoe_shape_of(graph, x).dim[0], experts = fsmoe_shape_of(graph, wg).dim[0];
	struct fsmoe_shape chosen = FSMOE_SHAPE2(rows, args->topk);
	struct fsmoe_shape all = FSMOE_SHAPE2(rows, experts);
	struct fsmoe_shape counted = FSMOE_SHAPE2(args->group ? rows / args->group : 1, experts);
	struct fsmoe_gate_topk out = {
		.expert = fsmoe_graph_activation(graph, FSMOE_INT32, chosen, "gate.expert"),
		.slot = fsmoe_graph_activation(graph, FSMOE_INT32, chosen, "gate.slot"),
		.weight = fsmoe_graph_activation(graph, FSMOE_WIDE, chosen, "gate.weight"),
		.probs = fsmoe_graph_activation(graph, FSMOE_WIDE, all, "gate.probs"),
		.counts = fsmoe_graph_activation(graph, FSMOE_INT32, counted, "gate.counts"),
	};

	if (fsmoe_graph_append(graph, &fsmoe_op_gate_topk, args, sizeof(*args),
			       FSMOE_ACCESSES(x, wg, out.expert, out.slot, out.weight, out.probs,
					      out.counts)) < 0)
		return none;
	return out;
}

/* --- backward ----------------------------------------------------------------------------- */

enum
{
	B_X,
	B_WG,
	B_EXPERT,
	B_WEIGHT,
	B_PROBS,
	B_DWEIGHT,
	B_DPROBS,
	B_DWG,
	B_DX,
	B_DLOGITS,
	B_N
};

/* The gradient of the logits is a scratch of its own because two products read it. */
static const struct fsmoe_port backward_ports[] = {
	[B_X] = {"x", FSMOE_R, 0, "T M"},
	[B_WG] = {"wg", FSMOE_R, FSMOE_FLOAT, "E M"},
	[B_EXPERT] = {"expert", FSMOE_R, FSMOE_INTS, "T k"},
	[B_WEIGHT] = {"weight", FSMOE_R, FSMOE_FLOAT, "T k"},
	[B_PROBS] = {"probs", FSMOE_R, FSMOE_FLOAT, "T E"},
	[B_DWEIGHT] = {"dweight", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "T k"},
	[B_DPROBS] = {"dprobs", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "T E"},
	[B_DWG] = {"dwg", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT, "E*M"},
	[B_DX] = {"dx", FSMOE_W, FSMOE_OPTIONAL, "T M"},
	[B_DLOGITS] = {"dlogits", FSMOE_W, FSMOE_SCRATCH | FSMOE_FLOAT, "T E"},
};

static double work_backward(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	return 2 * work(args, t, n);
}

fsmoe_tensor_t fsmoe_gate_topk_backward(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t wg,
					const struct fsmoe_gate_topk *forward,
					fsmoe_tensor_t dweight, fsmoe_tensor_t dprobs,
					fsmoe_tensor_t dwg, int want_dx)
{
	fsmoe_tensor_t dx = FSMOE_NONE;
	fsmoe_tensor_t dlogits = fsmoe_graph_activation(
		graph, FSMOE_WIDE, fsmoe_shape_of(graph, forward->probs), "gate.dlogits");

	if (want_dx)
		dx = fsmoe_graph_activation(graph, FSMOE_REAL, fsmoe_shape_of(graph, x), "gate.dx");

	const struct fsmoe_access access[B_N] = {
		{x, B_X, 0},
		{wg, B_WG, 0},
		{forward->expert, B_EXPERT, 0},
		{forward->weight, B_WEIGHT, 0},
		{forward->probs, B_PROBS, 0},
		{dweight, B_DWEIGHT, 0},
		{dprobs, B_DPROBS, 0},
		{dwg, B_DWG, 0},
		{dx, B_DX, 0},
		{dlogits, B_DLOGITS, 0},
	};
	if (fsmoe_graph_append(graph, &fsmoe_op_gate_topk_backward, NULL, 0, access, B_N) < 0)
		return FSMOE_NONE;
	return dx;
}

const struct fsmoe_op fsmoe_op_gate_topk = {
	.name = "gate_topk",
	.doc = "top-k softmax gate: experts, slots and weights of every token",
	.kind = FSMOE_KIND_GATE,
	FSMOE_PORTS(ports),
	.check = check_gate,
	.work = work,
	.grad = grad,
	FSMOE_CPU(gate_topk),
	FSMOE_CUDA(gate_topk),
};

const struct fsmoe_op fsmoe_op_gate_topk_backward = {
	.name = "gate_topk.backward",
	.doc = "dwg += dlogits^T x, dx = dlogits wg, dlogits from the gradient of the weights",
	.kind = FSMOE_KIND_GATE,
	FSMOE_PORTS(backward_ports),
	.work = work_backward,
	FSMOE_CPU(gate_topk_backward),
	FSMOE_CUDA(gate_topk_backward),
	FSMOE_CUDA_SCRATCH(gate_topk_backward),
};
