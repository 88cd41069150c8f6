/* SPDX-License-Identifier: Apache-2.0 */
#include "moe/dispatch/parts.h"
#include "codelets/shape.h"

/* Chunk (E, c, M): experts of one rank are neighbours, so it is (EP, E / EP, c, M) as well. */
fsmoe_tensor_t fsmoe_dispatch_send(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t chunk,
				   fsmoe_exchange_fn exchange)
{
	fsmoe_graph_t graph = layer->graph;
	size_t ep = (size_t)layer->ep, span = fsmoe_shape_of(graph, chunk).dim[1];
	size_t n = layer->local_experts * span * layer->model_dim;
	fsmoe_tensor_t x = exchange(layer, chunk, n);

	x = fsmoe_graph_view(graph, x, 0,
			     FSMOE_SHAPE4(ep, layer->local_experts, span, layer->model_dim));
	return fsmoe_allgather(graph, x, FSMOE_GROUP_ESP);
}

fsmoe_tensor_t fsmoe_dispatch_reduce(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t partial)
{
	return fsmoe_reduce_scatter(layer->graph, partial, FSMOE_GROUP_ESP);
}

fsmoe_tensor_t fsmoe_dispatch_combine(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t reduced,
				      fsmoe_exchange_fn exchange)
{
	fsmoe_graph_t graph = layer->graph;
	size_t span = fsmoe_shape_of(graph, reduced).dim[2];
	size_t n = layer->local_experts * span * layer->model_dim;
	fsmoe_tensor_t x = exchange(layer, reduced, n);

	return fsmoe_graph_view(graph, x, 0, FSMOE_SHAPE3(layer->experts, span, layer->model_dim));
}

fsmoe_tensor_t fsmoe_exchange_flat(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x, size_t n)
{
	x = fsmoe_graph_view(layer->graph, x, 0, FSMOE_SHAPE2((size_t)layer->ep, n));
	return fsmoe_alltoall(layer->graph, x, FSMOE_GROUP_EP);
}

size_t fsmoe_exchange_places(const struct fsmoe_moe_layer *layer)
{
	return (size_t)fsmoe_group_size(fsmoe_graph_groups(layer->graph), FSMOE_GROUP_EP_NODE);
}

size_t fsmoe_exchange_nodes(const struct fsmoe_moe_layer *layer)
{
	return (size_t)fsmoe_group_size(fsmoe_graph_groups(layer->graph), FSMOE_GROUP_EP_RAIL);
}
