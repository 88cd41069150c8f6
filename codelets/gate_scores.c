/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_scores.h"
#include "codelets/linear.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>

/* --- logits ------------------------------------------------------------------------------- */

enum
{
	X,
	W,
	LOGITS
};

static const struct fsmoe_port logits_ports[] = {
	[X] = {"x", FSMOE_R, 0, "T M"},
	[W] = {"w", FSMOE_R, FSMOE_FLOAT, "E M"},
	[LOGITS] = {"logits", FSMOE_W, FSMOE_FLOAT, "T E"},
};

static double work_logits(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)args, (void)n;
	return 2.0 * (double)fsmoe_count(t[X]) * (double)fsmoe_rows(t[W]);
}

static int grad_logits(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t x = node->access[X].tensor, w = node->access[W].tensor;
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, node->access[LOGITS].tensor), dw;

	if (dy == FSMOE_NONE)
		return 0;
	if (fsmoe_param_gradient(backward, node, W, &dw))
		return -EINVAL;
	if (fsmoe_backward_wants(backward, x))
	{
		fsmoe_tensor_t dx = fsmoe_graph_like(graph, x, "d.");
		fsmoe_graph_append(graph, &fsmoe_op_linear_backward_input, NULL, 0,
				   FSMOE_ACCESSES(dy, w, dx));
		fsmoe_backward_give(backward, x, dx);
	}
	if (dw != FSMOE_NONE)
		fsmoe_graph_append(graph, &fsmoe_op_linear_backward_weight, NULL, 0,
				   FSMOE_ACCESSES(x, dy, dw, FSMOE_NONE));
	return fsmoe_graph_status(graph);
}

fsmoe_tensor_t fsmoe_gate_logits(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t w)
{
	size_t rows = fsmoe_shape_of(graph, x).dim[0], experts = fsmoe_shape_of(graph, w).dim[0];
	fsmoe_tensor_t logits = fsmoe_graph_activation(graph, FSMOE_WIDE,
						       FSMOE_SHAPE2(rows, experts), "gate.logits");

	if (fsmoe_graph_append(graph, &fsmoe_op_gate_logits, NULL, 0,
			       FSMOE_ACCESSES(x, w, logits)) < 0)
		return FSMOE_NONE;
	return logits;
}

/* --- noise -------------------------------------------------------------------------------- */

enum
{
	N_CLEAN,
	N_RAW,
	N_NOISY,
	N_DEVIATION
};

static const struct fsmoe_port noise_ports[] = {
	[N_CLEAN] = {"clean", FSMOE_R, FSMOE_FLOAT, "T E"},
	[N_RAW] = {"raw", FSMOE_R, FSMOE_FLOAT, "T E"},
	[N_NOISY] = {"noisy", FSMOE_W, FSMOE_FLOAT, "T E"},
	[N_DEVIATION] = {"deviation", FSMOE_W, FSMOE_FLOAT, "T E"},
};

enum
{
	NB_RAW,
	NB_DNOISY,
	NB_DDEVIATION,
	NB_DRAW
};

static const struct fsmoe_port noise_backward_ports[] = {
	[NB_RAW] = {"raw", FSMOE_R, FSMOE_FLOAT, "T E"},
	[NB_DNOISY] = {"dnoisy", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "T E"},
	[NB_DDEVIATION] = {"ddeviation", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "T E"},
	[NB_DRAW] = {"draw", FSMOE_W, FSMOE_FLOAT, "T E"},
};

static int grad_noise(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t clean = node->access[N_CLEAN].tensor, raw = node->access[N_RAW].tensor;
	fsmoe_tensor_t dnoisy = fsmoe_backward_out(backward, node->access[N_NOISY].tensor);
	fsmoe_tensor_t ddeviation = fsmoe_backward_out(backward, node->access[N_DEVIATION].tensor);

	if (dnoisy != FSMOE_NONE && fsmoe_backward_wants(backward, clean))
		fsmoe_backward_give(backward, clean, dnoisy);
	if (fsmoe_backward_wants(backward, raw))
	{
		fsmoe_tensor_t draw = fsmoe_graph_like(graph, raw, "d.");
		fsmoe_graph_append(graph, &fsmoe_op_gate_noise_backward, node->args,
				   sizeof(struct fsmoe_gate_noise_args),
				   FSMOE_ACCESSES(raw, dnoisy, ddeviation, draw));
		fsmoe_backward_give(backward, raw, draw);
	}
	return fsmoe_graph_status(graph);
}

struct fsmoe_gate_noise fsmoe_gate_noise(fsmoe_graph_t graph, fsmoe_tensor_t clean,
					 fsmoe_tensor_t raw,
					 const struct fsmoe_gate_noise_args *args)
{
	struct fsmoe_shape shape = fsmoe_shape_of(graph, clean);
	const struct fsmoe_gate_noise out = {
		.noisy = fsmoe_graph_activation(graph, FSMOE_WIDE, shape, "gate.noisy"),
		.deviation = fsmoe_graph_activation(graph, FSMOE_WIDE, shape, "gate.deviation"),
	};

	if (fsmoe_graph_append(graph, &fsmoe_op_gate_noise, args, sizeof(*args),
			       FSMOE_ACCESSES(clean, raw, out.noisy, out.deviation)) < 0)
		return (struct fsmoe_gate_noise){FSMOE_NONE, FSMOE_NONE};
	return out;
}

/* --- cosine ------------------------------------------------------------------------------- */

enum
{
	C_U,
	C_W,
	C_THETA,
	C_LOGITS,
	C_NORMS
};

/* Norms are those of the rows of w, or 0 where a row is. */
static const struct fsmoe_port cosine_ports[] = {
	[C_U] = {"u", FSMOE_R, FSMOE_EITHER, "T D"},
	[C_W] = {"w", FSMOE_R, FSMOE_FLOAT, "E D"},
	[C_THETA] = {"theta", FSMOE_R, FSMOE_FLOAT, "1"},
	[C_LOGITS] = {"logits", FSMOE_W, FSMOE_FLOAT, "T E"},
	[C_NORMS] = {"norms", FSMOE_W, FSMOE_SCRATCH | FSMOE_FLOAT, "E"},
};

enum
{
	CB_U,
	CB_W,
	CB_THETA,
	CB_LOGITS,
	CB_DLOGITS,
	CB_DU,
	CB_DW,
	CB_DTHETA,
	CB_SUMS,
	CB_N
};

/* Sums (E, d + 1): of what the tokens pull an expert's direction to, and the norms. */
static const struct fsmoe_port cosine_backward_ports[] = {
	[CB_U] = {"u", FSMOE_R, FSMOE_EITHER, "T D"},
	[CB_W] = {"w", FSMOE_R, FSMOE_FLOAT, "E D"},
	[CB_THETA] = {"theta", FSMOE_R, FSMOE_FLOAT, "1"},
	[CB_LOGITS] = {"logits", FSMOE_R, FSMOE_FLOAT, "T E"},
	[CB_DLOGITS] = {"dlogits", FSMOE_R, FSMOE_FLOAT, "T E"},
	[CB_DU] = {"du", FSMOE_W, FSMOE_OPTIONAL | FSMOE_EITHER, "T D"},
	[CB_DW] = {"dw", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT, "E*D"},
	[CB_DTHETA] = {"dtheta", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT, "1"},
	[CB_SUMS] = {"sums", FSMOE_W, FSMOE_SCRATCH | FSMOE_FLOAT, "E D+1"},
};

static double work_cosine_backward(const void *args, const struct fsmoe_tensor_info *const *t,
				   int n)
{
	return 2 * work_logits(args, t, n);
}

static int grad_cosine(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	const struct fsmoe_access *a = node->access;
	fsmoe_tensor_t u = a[C_U].tensor, w = a[C_W].tensor, du = FSMOE_NONE, dw, dtheta;
	fsmoe_tensor_t dlogits = fsmoe_backward_out(backward, a[C_LOGITS].tensor);
	struct fsmoe_shape shape = fsmoe_shape_of(graph, w);

	if (dlogits == FSMOE_NONE)
		return 0;
	if (fsmoe_param_gradient(backward, node, C_W, &dw) ||
	    fsmoe_param_gradient(backward, node, C_THETA, &dtheta))
		return -EINVAL;
	if (fsmoe_backward_wants(backward, u))
		du = fsmoe_graph_like(graph, u, "d.");

	size_t dim = shape.dim[shape.ndim - 1], experts = fsmoe_shape_count(&shape) / dim;
	fsmoe_tensor_t sums = fsmoe_graph_activation(graph, FSMOE_WIDE,
						     FSMOE_SHAPE2(experts, dim + 1), "gate.sums");
	const fsmoe_tensor_t tensor[CB_N] = {
		u, w, a[C_THETA].tensor, a[C_LOGITS].tensor, dlogits, du, dw, dtheta, sums};
	struct fsmoe_access access[CB_N];

	for (int i = 0; i < CB_N; i++)
		access[i] = (struct fsmoe_access){tensor[i], (short)i, 0};
	fsmoe_graph_append(graph, &fsmoe_op_gate_cosine_backward, node->args,
			   sizeof(struct fsmoe_gate_cosine_args), access, CB_N);
	if (du != FSMOE_NONE)
		fsmoe_backward_give(backward, u, du);
	return fsmoe_graph_status(graph);
}

fsmoe_tensor_t fsmoe_gate_cosine(fsmoe_graph_t graph, fsmoe_tensor_t u, fsmoe_tensor_t w,
				 fsmoe_tensor_t theta, double scale)
{
	const struct fsmoe_tensor_info info = {.shape = fsmoe_shape_of(graph, w)};
	size_t rows = fsmoe_shape_of(graph, u).dim[0], experts = fsmoe_rows(&info);
	fsmoe_tensor_t logits = fsmoe_graph_activation(graph, FSMOE_WIDE,
						       FSMOE_SHAPE2(rows, experts), "gate.logits");
	fsmoe_tensor_t norms =
		fsmoe_graph_activation(graph, FSMOE_WIDE, FSMOE_SHAPE1(experts), "gate.norms");

	if (fsmoe_graph_append(graph, &fsmoe_op_gate_cosine,
			       &(struct fsmoe_gate_cosine_args){scale},
			       sizeof(struct fsmoe_gate_cosine_args),
			       FSMOE_ACCESSES(u, w, theta, logits, norms)) < 0)
		return FSMOE_NONE;
	return logits;
}

/* --- rows --------------------------------------------------------------------------------- */

const struct fsmoe_op fsmoe_op_gate_logits = {
	.name = "gate_logits",
	.doc = "x w^T with a fixed order of additions",
	.kind = FSMOE_KIND_GATE,
	FSMOE_PORTS(logits_ports),
	.work = work_logits,
	.grad = grad_logits,
	FSMOE_CPU(gate_logits),
	FSMOE_CUDA(gate_logits),
};

const struct fsmoe_op fsmoe_op_gate_noise = {
	.name = "gate_noise",
	.doc = "logits plus noise of a learned deviation",
	.kind = FSMOE_KIND_ROUTING,
	FSMOE_PORTS(noise_ports),
	.work = fsmoe_work_bytes,
	.grad = grad_noise,
	FSMOE_CPU(gate_noise),
	FSMOE_CUDA_FLOAT(gate_noise),
};

const struct fsmoe_op fsmoe_op_gate_noise_backward = {
	.name = "gate_noise.backward",
	.doc = "draw = (eps dnoisy + ddeviation) sigmoid(raw)",
	.kind = FSMOE_KIND_ROUTING,
	FSMOE_PORTS(noise_backward_ports),
	.work = fsmoe_work_bytes,
	FSMOE_CPU(gate_noise_backward),
	FSMOE_CUDA_FLOAT(gate_noise_backward),
};

const struct fsmoe_op fsmoe_op_gate_cosine = {
	.name = "gate_cosine",
	.doc = "cosines of tokens and experts over a learned temperature",
	.kind = FSMOE_KIND_GATE,
	FSMOE_PORTS(cosine_ports),
	.work = work_logits,
	.grad = grad_cosine,
	FSMOE_CPU(gate_cosine),
	FSMOE_CUDA_FLOAT(gate_cosine),
};

const struct fsmoe_op fsmoe_op_gate_cosine_backward = {
	.name = "gate_cosine.backward",
	.doc = "gradients of both vectors and of the temperature",
	.kind = FSMOE_KIND_GATE,
	FSMOE_PORTS(cosine_backward_ports),
	.work = work_cosine_backward,
	FSMOE_CPU(gate_cosine_backward),
	FSMOE_CUDA_FLOAT(gate_cosine_backward),
	FSMOE_CUDA_SCRATCH(gate_cosine_backward),
};
