/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_scores.h"
#include "moe/modules.h"

#include <math.h>

/* X-MoE (arXiv 2204.09179) without its projection, its own ablation: logits = cos(x, w_e) / tau.
 * What it shows beside xmoe is what the space of low rank is worth. */

/* Where the learned temperature starts, as X-MoE's. */
#define TAU 0.07

static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	fsmoe_tensor_t directions, theta;

	directions =
		fsmoe_gate_param(layer, "weight", FSMOE_SHAPE2(layer->experts, layer->hidden_size),
				 FSMOE_INIT_NORMAL, 1 / sqrt((double)layer->hidden_size));
	theta = fsmoe_gate_param(layer, "temperature", FSMOE_SHAPE1(1), FSMOE_INIT_ONE, 0);
	routing->logits =
		fsmoe_gate_cosine(layer->graph, x, directions, theta, TAU / layer->gate_init_scale);
	fsmoe_gate_choose(layer, routing->logits, FSMOE_WEIGHTS_DEFAULT, routing);
}

const struct fsmoe_gate fsmoe_gate_module_cosine = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "cosine",
			.doc = "cosines of tokens and experts over a learned temperature, top-k",
		},
	.causal = FSMOE_CAUSAL_WITHOUT_DROPS,
	.routing = FSMOE_ROUTING_LISTS,
	.losses = FSMOE_LOSS_BALANCE | FSMOE_LOSS_IMPORTANCE | FSMOE_LOSS_Z,
	.options = FSMOE_GATE_DROP | FSMOE_GATE_WEIGHTS,
	.forward = forward,
};
