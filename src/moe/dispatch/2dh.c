/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/collective.h"
#include "codelets/rows.h"
#include "moe/dispatch/parts.h"
#include "moe/modules.h"

/*
 * The two-dimensional hierarchical AlltoAll of Tutel (arXiv 2206.03382) and DeepSpeed-MoE
 * (arXiv 2201.05596). G places of N nodes; blocks by target are (N, G, n):
 *   alltoall  between nodes, among equal places, along N -> (N, G, n), by source node, target place
 *   alltoall  inside the node, along G                   -> (N, G, n), by source
 * N - 1 messages of G blocks between nodes and G - 1 of N blocks inside. Tutel goes inside first;
 * the messages are as many and as long. This way round the lane between nodes never waits for the
 * lane inside, which the AllGather over shards uses too, and the second AlltoAll runs along the
 * middle dimension, which saves both of Tutel's permutations.
 */

/* By rows: the counts before, between and after the two. */
static fsmoe_tensor_t exchange_rows(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x, size_t n,
				    int back)
{
	const struct fsmoe_filled filled = fsmoe_filled_of(layer);
	const fsmoe_tensor_t here = layer->taken.sent, there = fsmoe_count_own(layer);
	const fsmoe_tensor_t between = layer->taken.between[back];
	const size_t M = layer->hidden_size, local = layer->local_experts;

	x = fsmoe_graph_view(layer->graph, x, 0,
			     FSMOE_SHAPE4((size_t)layer->ep, local, n / M / local, M));
	x = fsmoe_alltoall_rows(
		layer->graph, filled,
		(struct fsmoe_rows_move){x, back ? there : here, between, FSMOE_GROUP_EP_RAIL}, 1);
	return fsmoe_alltoall_rows(
		layer->graph, filled,
		(struct fsmoe_rows_move){x, between, back ? here : there, FSMOE_GROUP_EP_NODE},
		fsmoe_exchange_nodes(layer));
}

static fsmoe_tensor_t exchange(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x, size_t n,
			       int back)
{
	fsmoe_graph_t graph = layer->graph;
	size_t G = fsmoe_exchange_places(layer), N = fsmoe_exchange_nodes(layer);

	if (G == 1)
		return fsmoe_exchange_flat(layer, x, n, back);
	if (layer->taken.by_rows)
		return exchange_rows(layer, x, n, back);
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

/* Counts (groups, N, G, local experts) between nodes. */
static fsmoe_tensor_t count_between(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t counts)
{
	size_t N = fsmoe_exchange_nodes(layer);
	const struct fsmoe_shape parts = FSMOE_SHAPE3(layer->groups, N, layer->experts / N);

	return fsmoe_alltoall_axis(layer->graph, fsmoe_graph_view(layer->graph, counts, 0, parts),
				   1, FSMOE_GROUP_EP_RAIL);
}

static void count(const struct fsmoe_moe_layer *layer, struct fsmoe_taken *taken)
{
	size_t G = fsmoe_exchange_places(layer), N = fsmoe_exchange_nodes(layer);
	const struct fsmoe_shape parts = FSMOE_SHAPE3(layer->groups * N, G, layer->local_experts);
	fsmoe_tensor_t counts;

	if (G == 1)
	{
		taken->arrived = fsmoe_count_arrived(layer, fsmoe_count_flat(layer, taken->sent));
		return;
	}
	taken->between[0] = count_between(layer, taken->sent);
	counts = fsmoe_graph_view(layer->graph, taken->between[0], 0, parts);
	counts = fsmoe_alltoall_axis(layer->graph, counts, 1, FSMOE_GROUP_EP_NODE);
	taken->between[1] = count_between(layer, counts);
	taken->arrived = fsmoe_count_arrived(layer, counts);
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
	.count = count,
};
