/* SPDX-License-Identifier: Apache-2.0 */
#include "moe/modules.h"

/* BASE and StableMoE as the paper has them (arXiv 2103.16716, 2204.08396): k experts by their
 * logits, each with the sigmoid of its own as weight, not made to add up to 1. */
static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	fsmoe_tensor_t wg =
		fsmoe_gate_param(layer, "weight", FSMOE_SHAPE2(layer->experts, layer->hidden_size),
				 FSMOE_INIT_NORMAL, layer->gate_scale);

	routing->logits = fsmoe_gate_logits(layer->graph, x, wg);
	fsmoe_gate_choose(layer, routing->logits, FSMOE_WEIGHTS_SIGMOID, routing);
}

const struct fsmoe_gate fsmoe_gate_module_sigmoid = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "sigmoid",
			.doc = "the k experts of the greatest logits, each weighed by its sigmoid",
		},
	.causal = FSMOE_CAUSAL_WITHOUT_DROPS,
	.routing = FSMOE_ROUTING_LISTS,
	.losses = FSMOE_LOSS_BALANCE | FSMOE_LOSS_IMPORTANCE | FSMOE_LOSS_Z,
	.options = FSMOE_GATE_DROP | FSMOE_GATE_WEIGHTS,
	.forward = forward,
};
