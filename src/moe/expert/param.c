/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/module.h>

#include <stdio.h>

/* Ranks that hold the same experts and shard see other tokens: their gradients are summed. */
fsmoe_tensor_t fsmoe_expert_param(const struct fsmoe_moe_layer *layer, const char *name,
				  struct fsmoe_shape global, int shard, double scale)
{
	char full[256];
	struct fsmoe_param_spec spec = {
		.name = full,
		.global = global,
		.parts = {layer->ep},
		.index = {layer->ep_rank},
		.reduce = FSMOE_GROUP_EDP,
		.init = scale > 0 ? FSMOE_INIT_NORMAL : FSMOE_INIT_ZERO,
		.scale = scale,
		.decay = global.ndim == 3,
	};

	snprintf(full, sizeof(full), "%s.experts.%s", layer->name, name);
	if (shard)
	{
		spec.parts[shard] = layer->esp;
		spec.index[shard] = layer->esp_rank;
	}
	return fsmoe_graph_param(layer->graph, &spec);
}
