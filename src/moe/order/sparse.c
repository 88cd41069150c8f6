/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/order.h"
#include "moe/modules.h"

static struct fsmoe_lists lists_of(const struct fsmoe_moe_layer *layer,
				   const struct fsmoe_routing *routing)
{
	return (struct fsmoe_lists){layer->experts, routing->expert, routing->slot, routing->weight,
				    layer->taken.by_rows};
}

static fsmoe_tensor_t order(const struct fsmoe_moe_layer *layer,
			    const struct fsmoe_routing *routing, fsmoe_tensor_t x, size_t lo,
			    size_t hi)
{
	const struct fsmoe_lists lists = lists_of(layer, routing);

	return fsmoe_order_chunk(layer->graph, &lists, x, lo, hi);
}

static fsmoe_tensor_t inverse(const struct fsmoe_moe_layer *layer,
			      const struct fsmoe_routing *routing, struct fsmoe_cuts cuts,
			      const fsmoe_tensor_t *chunk)
{
	const struct fsmoe_lists lists = lists_of(layer, routing);

	return fsmoe_inverse_order(layer->graph, &lists, cuts, chunk);
}

static fsmoe_tensor_t inverse_backward(const struct fsmoe_moe_layer *layer,
				       const struct fsmoe_routing *routing, fsmoe_tensor_t dy,
				       size_t lo, size_t hi)
{
	const struct fsmoe_lists lists = lists_of(layer, routing);

	return fsmoe_inverse_order_backward_chunk(layer->graph, &lists, dy, lo, hi);
}

static void routing_backward(const struct fsmoe_moe_layer *layer,
			     const struct fsmoe_routing *routing, fsmoe_tensor_t dy,
			     struct fsmoe_cuts cuts, const fsmoe_tensor_t *chunk,
			     struct fsmoe_routing_grad *grad)
{
	const struct fsmoe_lists lists = lists_of(layer, routing);

	grad->weight = fsmoe_inverse_order_backward_weight(layer->graph, &lists, dy, cuts, chunk);
}

static fsmoe_tensor_t order_backward(const struct fsmoe_moe_layer *layer,
				     const struct fsmoe_routing *routing, fsmoe_tensor_t x,
				     struct fsmoe_cuts cuts, const fsmoe_tensor_t *dchunk,
				     struct fsmoe_routing_grad *grad)
{
	const struct fsmoe_lists lists = lists_of(layer, routing);

	(void)x, (void)grad; /* copying tokens does not ask what is in them */
	return fsmoe_order_backward(layer->graph, &lists, cuts, dchunk);
}

const struct fsmoe_order fsmoe_order_module_sparse = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "sparse",
			.doc = "copies rows by lists of experts and slots, as Tutel does",
		},
	.routings = 1 << FSMOE_ROUTING_LISTS,
	.by_rows = 1,
	.order = order,
	.inverse = inverse,
	.inverse_backward = inverse_backward,
	.routing_backward = routing_backward,
	.order_backward = order_backward,
};
