/* SPDX-License-Identifier: Apache-2.0 */
#include "train/flops.h"

#include "codelets/expert_ffn.h"

#include <fsmoe/op.h>
#include <fsmoe/topo.h>

/* Rows that an expert's forward node computes, as its work counts them: those of the first
 * input. */
static double rows_of(const struct fsmoe_node *node, const struct fsmoe_tensor_info *tensors)
{
	for (int i = 0; i < node->naccess; i++)
	{
		const fsmoe_tensor_t tensor = node->access[i].tensor;
		const struct fsmoe_shape *shape;

		if (tensor == FSMOE_NONE || node->access[i].mode != FSMOE_R)
			continue;
		if (node->op->work == fsmoe_ffn_work)
			return fsmoe_ffn_rows(node->args, &tensors[tensor]);
		shape = &tensors[tensor].shape;
		return (double)fsmoe_shape_count(shape) / (double)shape->dim[shape->ndim - 1];
	}
	return 0;
}

void fsmoe_flops_count(fsmoe_graph_t graph, struct fsmoe_flops *flops)
{
	int nnodes, ntensors;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);
	/* Every rank of an ESP group computes its shard for all slots of the group. */
	const int shards = fsmoe_group_size(fsmoe_graph_groups(graph), FSMOE_GROUP_ESP);

	*flops = (struct fsmoe_flops){0};
	for (int i = 0; i < nnodes; i++)
	{
		const struct fsmoe_node *node = &nodes[i];
		const double work = fsmoe_node_work(node, tensors);

		if (node->op->kind == FSMOE_KIND_GEMM || node->op->kind == FSMOE_KIND_ATTENTION)
			flops->dense += work;
		if (node->op->kind != FSMOE_KIND_EXPERT)
			continue;
		flops->expert += work;
		if (node->phase == FSMOE_FORWARD)
			flops->slots += rows_of(node, tensors) / shards;
	}
}

double fsmoe_flops_routed(const struct fsmoe_flops *flops, int ranks, double kept)
{
	const double taken = flops->slots > 0 ? kept / (flops->slots * ranks) : 0;

	return ranks * (flops->dense + flops->expert * taken);
}
