/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/basic.h"

#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>

#define FILL(real, suffix)                                                                         \
	static int fill_##suffix(const struct fsmoe_call *call)                                    \
	{                                                                                          \
		const struct fsmoe_fill_args *args = call->args;                                   \
		real *out = call->data[0], value = (real)args->value;                              \
		size_t n = fsmoe_shape_count(&call->tensor[0]->shape);                             \
                                                                                                   \
		for (size_t i = 0; i < n; i++)                                                     \
			out[i] = value;                                                            \
		return 0;                                                                          \
	}
FILL(float, f32)
FILL(double, f64)

#define SUM(real, suffix)                                                                          \
	static int sum_##suffix(const struct fsmoe_call *call)                                     \
	{                                                                                          \
		size_t n = fsmoe_shape_count(&call->tensor[0]->shape);                             \
		real *restrict out = call->data[call->n - 1];                                      \
		const real *restrict a = call->data[0], *restrict b = call->data[1];               \
                                                                                                   \
		for (size_t i = 0; i < n; i++)                                                     \
			out[i] = a[i] + b[i];                                                      \
		for (int k = 2; k < call->n - 1; k++)                                              \
		{                                                                                  \
			const real *restrict c = call->data[k];                                    \
			for (size_t i = 0; i < n; i++)                                             \
				out[i] += c[i];                                                    \
		}                                                                                  \
		return 0;                                                                          \
	}
SUM(float, f32)
SUM(double, f64)

#define ACCUMULATE(real, suffix)                                                                   \
	static int accumulate_##suffix(const struct fsmoe_call *call)                              \
	{                                                                                          \
		const real *restrict in = call->data[0];                                           \
		real *restrict out = call->data[1];                                                \
		size_t n = fsmoe_shape_count(&call->tensor[0]->shape);                             \
                                                                                                   \
		for (size_t i = 0; i < n; i++)                                                     \
			out[i] += in[i];                                                           \
		return 0;                                                                          \
	}
ACCUMULATE(float, f32)
ACCUMULATE(double, f64)

static double all_bytes(const void *args, const struct fsmoe_tensor_info *const *tensor, int n)
{
	(void)args;
	return (double)n * (double)fsmoe_shape_count(&tensor[0]->shape) * sizeof(float);
}

static int check_sum(const struct fsmoe_check *check)
{
	return check->n < 3 ? fsmoe_fail(EINVAL, "a sum needs at least two terms") : 0;
}

/* d(a + b) reaches both unchanged: no node, the same tensor. */
static int sum_grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, node->access[node->naccess - 1].tensor);

	if (dy == FSMOE_NONE)
		return 0;
	for (int i = 0; i < node->naccess - 1; i++)
		if (fsmoe_backward_wants(backward, node->access[i].tensor))
			fsmoe_backward_give(backward, node->access[i].tensor, dy);
	return 0;
}

static const struct fsmoe_port fill_ports[] = {
	{"out", FSMOE_W, FSMOE_EITHER | FSMOE_ANY_TYPE, "..."}};
const struct fsmoe_op fsmoe_op_fill = {
	.name = "fill",
	.doc = "sets every element to one value",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(fill_ports),
	.work = all_bytes,
	.cpu = {fill_f32, fill_f64},
	FSMOE_BASIC_CUDA(fill),
};

static const struct fsmoe_port sum_ports[] = {{"in", FSMOE_R, FSMOE_MANY | FSMOE_EITHER, "n"},
					      {"out", FSMOE_W, FSMOE_EITHER, "n"}};
const struct fsmoe_op fsmoe_op_sum = {
	.name = "sum",
	.doc = "adds tensors of one shape",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(sum_ports),
	.check = check_sum,
	.work = all_bytes,
	.grad = sum_grad,
	.cpu = {sum_f32, sum_f64},
	FSMOE_BASIC_CUDA(sum),
};

static const struct fsmoe_port accumulate_ports[] = {{"in", FSMOE_R, FSMOE_EITHER, "n"},
						     {"out", FSMOE_RW, FSMOE_FLOAT, "n"}};
const struct fsmoe_op fsmoe_op_accumulate = {
	.name = "accumulate",
	.doc = "adds a tensor to another in place",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(accumulate_ports),
	.work = all_bytes,
	.cpu = {accumulate_f32, accumulate_f64},
	FSMOE_BASIC_CUDA(accumulate),
};

void fsmoe_accumulate(fsmoe_graph_t graph, fsmoe_tensor_t in, fsmoe_tensor_t out)
{
	struct fsmoe_access access[] = {{.tensor = in, .port = 0}, {.tensor = out, .port = 1}};

	fsmoe_graph_append(graph, &fsmoe_op_accumulate, NULL, 0, access, 2);
}

void fsmoe_fill_with(fsmoe_graph_t graph, fsmoe_tensor_t out, double value)
{
	fsmoe_graph_append(graph, &fsmoe_op_fill, &(struct fsmoe_fill_args){value},
			   sizeof(struct fsmoe_fill_args), &(struct fsmoe_access){.tensor = out},
			   1);
}

fsmoe_tensor_t fsmoe_sum(fsmoe_graph_t graph, const fsmoe_tensor_t *in, int n)
{
	struct fsmoe_access access[n + 1];
	fsmoe_tensor_t out = fsmoe_graph_like(graph, in[0], "sum.");

	for (int i = 0; i < n; i++)
		access[i] = (struct fsmoe_access){.tensor = in[i], .port = 0};
	access[n] = (struct fsmoe_access){.tensor = out, .port = 1};
	fsmoe_graph_append(graph, &fsmoe_op_sum, NULL, 0, access, n + 1);
	return out;
}
