/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/order_einsum.h"
#include "moe/modules.h"

/* GShard's order: masks and products (arXiv 2006.16668). Lists are turned into masks; a soft
 * routing brings its own. */

static struct fsmoe_einsum_sizes sizes_of(const struct fsmoe_moe_layer *layer)
{
	return (struct fsmoe_einsum_sizes){layer->experts, layer->capacity, layer->group};
}

static void prepare(const struct fsmoe_moe_layer *layer, struct fsmoe_routing *routing)
{
	const struct fsmoe_einsum_sizes sizes = sizes_of(layer);

	if (routing->kind == FSMOE_ROUTING_LISTS)
		fsmoe_order_mask(layer->graph, &sizes, routing);
}

static fsmoe_tensor_t order(const struct fsmoe_moe_layer *layer,
			    const struct fsmoe_routing *routing, fsmoe_tensor_t x, size_t lo,
			    size_t hi)
{
	const struct fsmoe_einsum_sizes sizes = sizes_of(layer);

	return fsmoe_einsum_slots(layer->graph, &sizes, x, routing->dispatch, lo, hi);
}

static fsmoe_tensor_t inverse(const struct fsmoe_moe_layer *layer,
			      const struct fsmoe_routing *routing, struct fsmoe_cuts cuts,
			      const fsmoe_tensor_t *chunk)
{
	const struct fsmoe_einsum_sizes sizes = sizes_of(layer);

	return fsmoe_einsum_rows(layer->graph, &sizes, routing->combine, cuts, chunk);
}

static fsmoe_tensor_t inverse_backward(const struct fsmoe_moe_layer *layer,
				       const struct fsmoe_routing *routing, fsmoe_tensor_t dy,
				       size_t lo, size_t hi)
{
	const struct fsmoe_einsum_sizes sizes = sizes_of(layer);

	return fsmoe_einsum_slots(layer->graph, &sizes, dy, routing->combine, lo, hi);
}

static void routing_backward(const struct fsmoe_moe_layer *layer,
			     const struct fsmoe_routing *routing, fsmoe_tensor_t dy,
			     struct fsmoe_cuts cuts, const fsmoe_tensor_t *chunk,
			     struct fsmoe_routing_grad *grad)
{
	const struct fsmoe_einsum_sizes sizes = sizes_of(layer);

	(void)routing;
	grad->combine = fsmoe_einsum_mask(layer->graph, &sizes, dy, cuts, chunk);
}

static fsmoe_tensor_t order_backward(const struct fsmoe_moe_layer *layer,
				     const struct fsmoe_routing *routing, fsmoe_tensor_t x,
				     struct fsmoe_cuts cuts, const fsmoe_tensor_t *dchunk,
				     struct fsmoe_routing_grad *grad)
{
	const struct fsmoe_einsum_sizes sizes = sizes_of(layer);

	if (routing->kind == FSMOE_ROUTING_DENSE) /* a mask of lists is 0 and 1, whatever x is */
		grad->dispatch = fsmoe_einsum_mask(layer->graph, &sizes, x, cuts, dchunk);
	return fsmoe_einsum_rows(layer->graph, &sizes, routing->dispatch, cuts, dchunk);
}

const struct fsmoe_order fsmoe_order_module_einsum = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "einsum",
			.doc = "products with dense masks, as GShard does; also for soft routing",
		},
	.routings = 1 << FSMOE_ROUTING_LISTS | 1 << FSMOE_ROUTING_DENSE,
	.prepare = prepare,
	.order = order,
	.inverse = inverse,
	.inverse_backward = inverse_backward,
	.routing_backward = routing_backward,
	.order_backward = order_backward,
};
