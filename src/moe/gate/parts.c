/* SPDX-License-Identifier: Apache-2.0 */
/* What fsmoe/module.h offers to gates. */
#include "codelets/route.h"
#include "codelets/shape.h"

#include <stdio.h>

fsmoe_tensor_t fsmoe_gate_param(const struct fsmoe_moe_layer *layer, const char *name,
				struct fsmoe_shape shape, enum fsmoe_init init, double scale)
{
	char full[256];

	snprintf(full, sizeof(full), "%s.gate.%s", layer->name, name);
	/* Every rank holds all of it and sees tokens of its own. */
	return fsmoe_graph_param(layer->graph, &(struct fsmoe_param_spec){
						       .name = full,
						       .global = shape,
						       .reduce = FSMOE_GROUP_WORLD,
						       .init = init,
						       .scale = scale,
						       .decay = shape.ndim > 1,
					       });
}

static void choose(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t score, size_t topk,
		   enum fsmoe_weights weights, struct fsmoe_routing *routing)
{
	const struct fsmoe_route_args args = {
		.topk = topk,
		.group = layer->group,
		.capacity = layer->capacity,
		.weights = layer->routing_weights == FSMOE_WEIGHTS_DEFAULT ? weights
									   : layer->routing_weights,
		.drop = layer->drop_policy,
	};
	const struct fsmoe_route out = fsmoe_route(layer->graph, score, &args);

	routing->width = topk ? topk : layer->experts;
	routing->expert = out.expert;
	routing->slot = out.slot;
	routing->weight = out.weight;
	routing->counts = out.counts;
}

void fsmoe_gate_choose(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t score,
		       enum fsmoe_weights weights, struct fsmoe_routing *routing)
{
	/* One choice keeps the whole softmax's weight, through which its gate learns; several
	 * share out 1. */
	if (weights == FSMOE_WEIGHTS_DEFAULT)
		weights = layer->top_k > 1 ? FSMOE_WEIGHTS_CHOSEN : FSMOE_WEIGHTS_ALL;
	choose(layer, score, layer->top_k, weights, routing);
}

void fsmoe_gate_choose_tokens(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t score,
			      enum fsmoe_weights weights, struct fsmoe_routing *routing)
{
	if (weights == FSMOE_WEIGHTS_DEFAULT)
		weights = FSMOE_WEIGHTS_CHOSEN;
	choose(layer, score, 0, weights, routing);
}
