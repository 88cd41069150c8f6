/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/shape.h"
#include "moe/modules.h"

#include <fsmoe/ops.h>

/* Chunk (E, c, M): experts of one rank are neighbours, so it is (EP, E / EP, c, M) as well. */
static fsmoe_tensor_t send(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t chunk)
{
	fsmoe_graph_t graph = layer->graph;
	size_t span = fsmoe_shape_of(graph, chunk).dim[1];
	fsmoe_tensor_t x = fsmoe_graph_view(
		graph, chunk, 0,
		FSMOE_SHAPE4((size_t)layer->ep, layer->local_experts, span, layer->model_dim));

	return fsmoe_allgather(graph, fsmoe_alltoall(graph, x, FSMOE_GROUP_EP), FSMOE_GROUP_ESP);
}

static fsmoe_tensor_t reduce(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t partial)
{
	return fsmoe_reduce_scatter(layer->graph, partial, FSMOE_GROUP_ESP);
}

static fsmoe_tensor_t combine(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t reduced)
{
	fsmoe_graph_t graph = layer->graph;
	fsmoe_tensor_t x = fsmoe_alltoall(graph, reduced, FSMOE_GROUP_EP);
	size_t span = fsmoe_shape_of(graph, reduced).dim[2];

	return fsmoe_graph_view(graph, x, 0, FSMOE_SHAPE3(layer->experts, span, layer->model_dim));
}

const struct fsmoe_dispatch fsmoe_dispatch_module_flat = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "flat",
			.doc = "one AlltoAll over the expert-parallel group, one AllGather over "
			       "shards",
		},
	.send = send,
	.reduce = reduce,
	.combine = combine,
};
