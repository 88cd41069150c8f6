/* SPDX-License-Identifier: Apache-2.0 */
#include "moe/modules.h"

/* Expert choice (arXiv 2202.09368): in every routing group an expert takes the C tokens that score
 * highest with it. Weights are the softmax over the tokens it took, as in the FSMoE paper; the
 * original's, entries of every token's softmax over the experts, are the option weights "all". */
static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	fsmoe_tensor_t wg =
		fsmoe_gate_param(layer, "weight", FSMOE_SHAPE2(layer->experts, layer->hidden_size),
				 FSMOE_INIT_NORMAL, layer->gate_scale);

	routing->logits = fsmoe_gate_logits(layer->graph, x, wg);
	fsmoe_gate_choose_tokens(layer, routing->logits, FSMOE_WEIGHTS_DEFAULT, routing);
}

const struct fsmoe_gate fsmoe_gate_module_expert_choice = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "expert-choice",
			.doc = "every expert takes the C tokens of a group that score highest",
		},
	.causal = FSMOE_NOT_CAUSAL, /* an expert sees all tokens of a group before it takes some */
	.routing = FSMOE_ROUTING_LISTS,
	.losses = FSMOE_LOSS_Z, /* balanced as it is */
	.options = FSMOE_GATE_WEIGHTS,
	.forward = forward,
};
