/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/collective.h"
#include "moe/dispatch/parts.h"
#include "moe/modules.h"

/*
 * The two-dimensional hierarchical AlltoAll of Tutel (arXiv 2206.03382) and DeepSpeed-MoE
 * (arXiv 2201.05596). G places of N nodes; blocks by target are (N, G, n):
 *   alltoall   between nodes, among equal places, along N -> (N, G, n), by source node, target place
 *   alltoall   inside the node, along G                   -> (N, G, n), by source
 * N - 1 messages of G blocks between nodes and G - 1 of N blocks inside. Tutel goes inside first;
 * the messages are as many and as long. This way round the lane between nodes never waits for the
 * lane inside, which the AllGather over shards uses too, and the second AlltoAll runs along the
 * middle dimension, which saves both of Tutel's permutations.
 */
static fsmoe_tensor_t exchange(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x, size_t n)
{
	fsmoe_graph_t graph = layer->graph;
	size_t G = fsmoe_exchange_places(layer), N = fsmoe_exchange_nodes(layer);

	if (G == 1)
		return fsmoe_exchange_flat(layer, x, n);
	x = fsmoe_graph_view(graph, x, 0, FSMOE_SHAPE3(N, G, n));
	x = fsmoe_alltoall_axis(graph, x, 0, FSMOE_GROUP_EP_RAIL);
	return fsmoe_alltoall_axis(graph, x, 1, FSMOE_GROUP_EP_NODE);
}

static fsmoe_tensor_t send(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t chunk)
{
	return fsmoe_dispatch_send(layer, chunk, exchange);
}

static fsmoe_tensor_t combine(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t reduced)
{
	return fsmoe_dispatch_combine(layer, reduced, exchange);
}

const struct fsmoe_dispatch fsmoe_dispatch_module_2dh = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "2dh",
			.doc = "AlltoAlls between nodes and then inside them, as Tutel and "
			       "DeepSpeed",
		},
	.send = send,
	.reduce = fsmoe_dispatch_reduce,
	.combine = combine,
};
