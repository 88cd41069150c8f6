/* SPDX-License-Identifier: Apache-2.0 */
#include "moe/modules.h"

static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	fsmoe_tensor_t wg =
		fsmoe_gate_param(layer, "weight", FSMOE_SHAPE2(layer->experts, layer->hidden_size),
				 FSMOE_INIT_NORMAL, layer->gate_scale);

	routing->logits = fsmoe_gate_logits(layer->graph, x, wg);
	fsmoe_gate_choose(layer, routing->logits, FSMOE_WEIGHTS_DEFAULT, routing);
}

const struct fsmoe_gate fsmoe_gate_module_topk = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "topk",
			.doc = "softmax over all experts, the k likeliest, weights that add up to "
			       "1",
		},
	.causal = FSMOE_CAUSAL_WITHOUT_DROPS, /* a later token's first choice comes before an
						 earlier one's second */
	.routing = FSMOE_ROUTING_LISTS,
	.losses = FSMOE_LOSS_BALANCE | FSMOE_LOSS_IMPORTANCE | FSMOE_LOSS_Z,
	.options = FSMOE_GATE_DROP | FSMOE_GATE_WEIGHTS,
	.forward = forward,
};
