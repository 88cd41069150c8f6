/* SPDX-License-Identifier: Apache-2.0 */
#include "moe/dispatch/parts.h"
#include "codelets/collective.h"
#include "codelets/rows.h"
#include "codelets/shape.h"

/* Chunk (E, c, M): experts of one rank are neighbours, so it is (EP, E / EP, c, M) as well. */
fsmoe_tensor_t fsmoe_dispatch_send(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t chunk,
				   fsmoe_exchange_fn exchange)
{
	fsmoe_graph_t graph = layer->graph;
	size_t ep = (size_t)layer->ep, span = fsmoe_shape_of(graph, chunk).dim[1];
	size_t n = layer->local_experts * span * layer->hidden_size;
	fsmoe_tensor_t x = exchange(layer, chunk, n, 0);

	x = fsmoe_graph_view(graph, x, 0,
			     FSMOE_SHAPE4(ep, layer->local_experts, span, layer->hidden_size));
	if (!layer->taken.by_rows)
		return fsmoe_allgather(graph, x, FSMOE_GROUP_ESP);
	return fsmoe_allgather_rows(graph, fsmoe_filled_of(layer),
				    (struct fsmoe_rows_move){x, fsmoe_count_own(layer),
							     layer->taken.arrived,
							     FSMOE_GROUP_ESP});
}

fsmoe_tensor_t fsmoe_dispatch_reduce(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t partial)
{
	if (!layer->taken.by_rows)
		return fsmoe_reduce_scatter(layer->graph, partial, FSMOE_GROUP_ESP);
	return fsmoe_reduce_scatter_rows(layer->graph, fsmoe_filled_of(layer),
					 (struct fsmoe_rows_move){partial, layer->taken.arrived,
								  fsmoe_count_own(layer),
								  FSMOE_GROUP_ESP});
}

fsmoe_tensor_t fsmoe_dispatch_combine(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t reduced,
				      fsmoe_exchange_fn exchange)
{
	fsmoe_graph_t graph = layer->graph;
	size_t span = fsmoe_shape_of(graph, reduced).dim[2];
	size_t n = layer->local_experts * span * layer->hidden_size;
	fsmoe_tensor_t x = exchange(layer, reduced, n, 1);

	return fsmoe_graph_view(graph, x, 0,
				FSMOE_SHAPE3(layer->experts, span, layer->hidden_size));
}

fsmoe_tensor_t fsmoe_exchange_flat(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x, size_t n,
				   int back)
{
	const size_t ep = (size_t)layer->ep, M = layer->hidden_size;
	fsmoe_tensor_t here, there;

	if (!layer->taken.by_rows)
		return fsmoe_alltoall(layer->graph,
				      fsmoe_graph_view(layer->graph, x, 0, FSMOE_SHAPE2(ep, n)),
				      FSMOE_GROUP_EP);
	here = layer->taken.sent;
	there = fsmoe_count_own(layer);
	x = fsmoe_graph_view(
		layer->graph, x, 0,
		FSMOE_SHAPE4(ep, layer->local_experts, n / M / layer->local_experts, M));
	return fsmoe_alltoall_rows(layer->graph, fsmoe_filled_of(layer),
				   (struct fsmoe_rows_move){x, back ? there : here,
							    back ? here : there, FSMOE_GROUP_EP},
				   1);
}

fsmoe_tensor_t fsmoe_count_flat(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t counts)
{
	const struct fsmoe_shape parts =
		FSMOE_SHAPE3(layer->groups, (size_t)layer->ep, layer->local_experts);

	return fsmoe_alltoall_axis(layer->graph, fsmoe_graph_view(layer->graph, counts, 0, parts),
				   1, FSMOE_GROUP_EP);
}

fsmoe_tensor_t fsmoe_count_arrived(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t counts)
{
	counts = fsmoe_graph_view(layer->graph, counts, 0,
				  FSMOE_SHAPE2(layer->groups, layer->experts));
	return fsmoe_allgather(layer->graph, counts, FSMOE_GROUP_ESP);
}

fsmoe_tensor_t fsmoe_count_own(const struct fsmoe_moe_layer *layer)
{
	return fsmoe_graph_view(layer->graph, layer->taken.arrived,
				(size_t)layer->esp_rank * layer->groups * layer->experts,
				FSMOE_SHAPE2(layer->groups, layer->experts));
}

size_t fsmoe_exchange_places(const struct fsmoe_moe_layer *layer)
{
	return (size_t)fsmoe_group_size(fsmoe_graph_groups(layer->graph), FSMOE_GROUP_EP_NODE);
}

size_t fsmoe_exchange_nodes(const struct fsmoe_moe_layer *layer)
{
	return (size_t)fsmoe_group_size(fsmoe_graph_groups(layer->graph), FSMOE_GROUP_EP_RAIL);
}
