/* SPDX-License-Identifier: Apache-2.0 */
#include "opcase_internal.h"

#include <errno.h>

/*
 * The harness' own operations. They are written from the public headers alone, as a program's
 * own operations would be.
 */

static size_t count_of(const struct fsmoe_call *call, int i)
{
	return fsmoe_shape_count(&call->tensor[i]->shape);
}

static fsmoe_tensor_t like(fsmoe_graph_t graph, fsmoe_tensor_t x, const char *name)
{
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(graph, &n);

	if (x < 0 || x >= n)
		return FSMOE_NONE;
	return fsmoe_graph_activation(graph, info[x].dtype, info[x].shape, "%s", name);
}

/* --- copy --------------------------------------------------------------------------------- */

#define COPY(real, suffix)                                                                         \
	static int copy_##suffix(const struct fsmoe_call *call)                                    \
	{                                                                                          \
		const real *x = call->data[0];                                                     \
		real *y = call->data[1];                                                           \
		for (size_t i = 0; i < count_of(call, 0); i++)                                     \
			y[i] = x[i];                                                               \
		return 0;                                                                          \
	}                                                                                          \
	static int copy_backward_##suffix(const struct fsmoe_call *call)                           \
	{                                                                                          \
		const real *dy = call->data[0];                                                    \
		real *dx = call->data[1];                                                          \
		for (size_t i = 0; i < count_of(call, 0); i++)                                     \
			dx[i] += dy[i];                                                            \
		return 0;                                                                          \
	}
COPY(float, f32)
COPY(double, f64)

static const struct fsmoe_port copy_ports[] = {{"x", FSMOE_R, 0}, {"y", FSMOE_W, 0}};
static const struct fsmoe_port copy_backward_ports[] = {{"dy", FSMOE_R, 0}, {"dx", FSMOE_RW, 0}};

static const struct fsmoe_op op_copy_backward = {
	.name = "opcase.copy.backward",
	.doc = "dx += dy",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(copy_backward_ports),
	.cpu = {copy_backward_f32, copy_backward_f64},
};

static int copy_grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, node->access[1].tensor);
	fsmoe_tensor_t dx = fsmoe_backward_param(backward, node->access[0].tensor);

	if (dy != FSMOE_NONE && dx != FSMOE_NONE)
		fsmoe_graph_append(graph, &op_copy_backward, NULL, 0,
				   (struct fsmoe_access[]){{dy, 0, 0}, {dx, 1, 0}}, 2);
	return fsmoe_graph_status(graph);
}

static const struct fsmoe_op op_copy = {
	.name = "opcase.copy",
	.doc = "y = x",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(copy_ports),
	.grad = copy_grad,
	.cpu = {copy_f32, copy_f64},
};

fsmoe_tensor_t opcase_copy(fsmoe_graph_t graph, fsmoe_tensor_t x)
{
	fsmoe_tensor_t y = like(graph, x, "leaf");

	fsmoe_graph_append(graph, &op_copy, NULL, 0, (struct fsmoe_access[]){{x, 0, 0}, {y, 1, 0}},
			   2);
	return y;
}

/* --- probe -------------------------------------------------------------------------------- */

struct probe_args
{
	uint64_t seed;
};

/* Away from zero, so that no element of y goes unseen. */
static double weight(const struct probe_args *args, size_t i)
{
	double u = 2 * opcase_noise(args->seed, 99, i) - 1;
	return u < 0 ? u - 0.25 : u + 0.25;
}

#define PROBE(real, suffix)                                                                        \
	static int probe_##suffix(const struct fsmoe_call *call)                                   \
	{                                                                                          \
		const real *y = call->data[0];                                                     \
		double sum = 0;                                                                    \
		for (size_t i = 0; i < count_of(call, 0); i++)                                     \
			sum += weight(call->args, i) * (double)y[i];                               \
		*(real *)call->data[1] = (real)sum;                                                \
		return 0;                                                                          \
	}                                                                                          \
	static int probe_backward_##suffix(const struct fsmoe_call *call)                          \
	{                                                                                          \
		const real *dloss = call->data[0];                                                 \
		real *dy = call->data[1];                                                          \
		for (size_t i = 0; i < count_of(call, 1); i++)                                     \
			dy[i] = (real)(weight(call->args, i) * (double)*dloss);                    \
		return 0;                                                                          \
	}
PROBE(float, f32)
PROBE(double, f64)

static const struct fsmoe_port probe_ports[] = {{"y", FSMOE_R, 0}, {"loss", FSMOE_W, 0}};
static const struct fsmoe_port probe_backward_ports[] = {{"dloss", FSMOE_R, 0}, {"dy", FSMOE_W, 0}};

static const struct fsmoe_op op_probe_backward = {
	.name = "opcase.probe.backward",
	.doc = "dy_i = dloss w_i",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(probe_backward_ports),
	.cpu = {probe_backward_f32, probe_backward_f64},
};

static int probe_grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t y = node->access[0].tensor, dy;
	fsmoe_tensor_t dloss = fsmoe_backward_out(backward, node->access[1].tensor);

	if (dloss == FSMOE_NONE || !fsmoe_backward_wants(backward, y))
		return 0;
	dy = like(graph, y, "probe.dy");
	fsmoe_graph_append(graph, &op_probe_backward, node->args, sizeof(struct probe_args),
			   (struct fsmoe_access[]){{dloss, 0, 0}, {dy, 1, 0}}, 2);
	fsmoe_backward_give(backward, y, dy);
	return fsmoe_graph_status(graph);
}

static const struct fsmoe_op op_probe = {
	.name = "opcase.probe",
	.doc = "loss = sum of w_i y_i",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(probe_ports),
	.grad = probe_grad,
	.cpu = {probe_f32, probe_f64},
};

fsmoe_tensor_t opcase_probe(fsmoe_graph_t graph, fsmoe_tensor_t y, uint64_t seed)
{
	const struct probe_args args = {.seed = seed};
	fsmoe_tensor_t loss = fsmoe_graph_activation(graph, FSMOE_REAL, FSMOE_SHAPE1(1), "probe");

	fsmoe_graph_append(graph, &op_probe, &args, sizeof(args),
			   (struct fsmoe_access[]){{y, 0, 0}, {loss, 1, 0}}, 2);
	return loss;
}
