/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/fresh.h"
#include "graph/memory.h"
#include "runtime/gpu_ops.h"
#include "runtime/introspect.h"
#include "runtime/runtime_internal.h"

/*
 * What programs will take of a GPU, before they are made. Nothing is allocated in a step, so what
 * they take when they are made is the most they ever take.
 */

/* CUDA gives out large pieces by pages of 2 MiB, small ones out of such a page. */
static size_t rounded(size_t bytes)
{
	const size_t page = (size_t)2 << 20, unit = bytes >= page / 2 ? page : 512;

	return (bytes + unit - 1) / unit * unit;
}

size_t fsmoe_scratch_bytes(const struct fsmoe_node *node, const struct fsmoe_tensor_info *tensors,
			   enum fsmoe_real real)
{
	void *data[node->naccess + 1];
	const struct fsmoe_tensor_info *tensor[node->naccess + 1];
	const struct fsmoe_call call = {.node = node,
					.args = node->args,
					.data = data,
					.real = real,
					.tensor = tensor,
					.n = node->naccess};

	if (!fsmoe_cuda_kernel(node->op, real) || !node->op->cuda_scratch)
		return 0;
	for (int i = 0; i < node->naccess; i++)
	{
		const fsmoe_tensor_t t = node->access[i].tensor;

		data[i] = NULL;
		tensor[i] = t == FSMOE_NONE ? NULL : &tensors[t];
	}
	return node->op->cuda_scratch(&call);
}

/* Bytes of a tensor on the GPU, with its bf16 copy; arg: the runtime's type of reals. */
static size_t gpu_bytes(const struct fsmoe_tensor_info *tensor, void *arg)
{
	const enum fsmoe_real *real = arg;
	size_t bytes = rounded(fsmoe_tensor_bytes(*real, tensor));

	if (fsmoe_has_copy(*real, tensor))
		bytes += rounded(fsmoe_shape_count(&tensor->shape) * sizeof(uint16_t));
	return bytes;
}

/* By lane the most that a node asks for. */
static void add_scratch(fsmoe_runtime_t rt, fsmoe_graph_t graph, size_t scratch[FSMOE_NLANES])
{
	int nnodes, ntensors;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);

	for (int i = 0; i < nnodes; i++)
	{
		const size_t bytes = fsmoe_scratch_bytes(&node[i], tensors, rt->real);

		if (bytes > scratch[node[i].lane])
			scratch[node[i].lane] = bytes;
	}
}

int fsmoe_runtime_gpu_memory(fsmoe_runtime_t rt, const fsmoe_graph_t *graphs, int n,
			     struct fsmoe_gpu_memory *room)
{
	size_t scratch[FSMOE_NLANES] = {0};
	int err;

	*room = (struct fsmoe_gpu_memory){.gpu = -1};
	if (!rt->gpu)
		return 0;
	room->gpu = fsmoe_gpu->device(rt->gpu);
	err = fsmoe_gpu->memory(&room->left, &room->all);
	for (int i = 0; i < n && !err; i++)
	{
		room->need += fsmoe_graph_bytes(graphs[i], i > 0, gpu_bytes, &rt->real);
		add_scratch(rt, graphs[i], scratch);
	}
	for (int l = 0; l < FSMOE_NLANES; l++)
		room->need += rounded(scratch[l]);
	return err;
}
