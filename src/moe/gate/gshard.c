/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "codelets/gate_scores.h"
#include "moe/modules.h"

/* The paper's GShard gate, which is the noisy top-k gate of Shazeer et al. (arXiv 1701.06538):
 * h = x Wg + eps softplus(x Wnoise), softmax over the k greatest. */
static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	const struct fsmoe_shape shape = FSMOE_SHAPE2(layer->experts, layer->hidden_size);
	const struct fsmoe_gate_noise_args args = {
		.stream = fsmoe_rng_key(0, layer->name), /* layers differ; the seed comes later */
		.tokens = layer->tokens,
	};
	struct fsmoe_gate_noise noise;
	fsmoe_tensor_t wg, wnoise;

	wg = fsmoe_gate_param(layer, "weight", shape, FSMOE_INIT_NORMAL, layer->gate_scale);
	wnoise = fsmoe_gate_param(layer, "noise", shape, FSMOE_INIT_ZERO, 0);
	routing->logits = fsmoe_gate_logits(layer->graph, x, wg);
	noise = fsmoe_gate_noise(layer->graph, routing->logits,
				 fsmoe_gate_logits(layer->graph, x, wnoise), &args);
	routing->noisy = noise.noisy;
	routing->deviation = noise.deviation;
	fsmoe_gate_choose(layer, noise.noisy, FSMOE_WEIGHTS_DEFAULT, routing);
}

const struct fsmoe_gate fsmoe_gate_module_gshard = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "gshard",
			.doc = "noisy top-k: noise of a learned deviation in training, softmax "
			       "over "
			       "the chosen",
		},
	.causal = FSMOE_CAUSAL_WITHOUT_DROPS,
	.routing = FSMOE_ROUTING_LISTS,
	.losses = FSMOE_LOSS_BALANCE | FSMOE_LOSS_IMPORTANCE | FSMOE_LOSS_Z,
	.options = FSMOE_GATE_DROP | FSMOE_GATE_WEIGHTS,
	.forward = forward,
};
