/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/collective.h"
#include "moe/dispatch/parts.h"
#include "moe/modules.h"

/*
 * Hetu's hierarchical AlltoAll (arXiv 2203.14685): the first rank of a node, its leader, collects
 * what the node sends, exchanges it with the other leaders, and hands out what arrives. G places of
 * N nodes; blocks by target are (N, G, n):
 *   gather     every (N, G, n)           -> leader's (N, its G, G, n), grouped by target node
 *   alltoall   over leaders              -> (N, G, its G, n), by source node and place
 *   scatter    the third dimension       -> (N, G, n), by source
 * The permutations of the original are in where gather and scatter put their pieces. Between nodes
 * there are N - 1 messages, of G^2 blocks each; they wait for the two stages around them, which
 * share a lane, so chunks overlap less than with 2dh.
 */
static fsmoe_tensor_t exchange(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x, size_t n,
			       int back)
{
	fsmoe_graph_t graph = layer->graph;
	size_t G = fsmoe_exchange_places(layer), N = fsmoe_exchange_nodes(layer);

	if (G == 1)
		return fsmoe_exchange_flat(layer, x, n, back);
	x = fsmoe_graph_view(graph, x, 0, FSMOE_SHAPE2(N, G * n));
	x = fsmoe_gather(graph, x, 1, FSMOE_GROUP_EP_NODE);
	/* The others' rails have nothing to say, but all ranks list the same collectives. */
	x = fsmoe_alltoall_axis(graph, x, 0, FSMOE_GROUP_EP_RAIL);
	if (x != FSMOE_NONE)
		x = fsmoe_graph_view(graph, x, 0, FSMOE_SHAPE3(N * G, G, n));
	return fsmoe_scatter(graph, x, 1, FSMOE_SHAPE2(N * G, n), FSMOE_GROUP_EP_NODE);
}

static fsmoe_tensor_t send(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t chunk)
{
	return fsmoe_dispatch_send(layer, chunk, exchange);
}

static fsmoe_tensor_t combine(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t reduced)
{
	return fsmoe_dispatch_combine(layer, reduced, exchange);
}

const struct fsmoe_dispatch fsmoe_dispatch_module_1dh = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "1dh",
			.doc = "a leader of each node collects, exchanges and hands out, as Hetu",
		},
	.send = send,
	.reduce = fsmoe_dispatch_reduce,
	.combine = combine,
};
