/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_scores.h"
#include "moe/modules.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>

/* X-MoE (arXiv 2204.09179): u = Wproj x of a low rank d, logits = cos(u, w_e) / tau. */

/* Where the learned temperature starts, as X-MoE's. */
#define TAU 0.07

/* X-MoE's own choice is E / 2, torchscale's 16: the greater of both, and never more than M. */
static size_t rank_of(const struct fsmoe_moe_layer *layer)
{
	size_t d = layer->experts / 2 > 16 ? layer->experts / 2 : 16;

	if (layer->opts.xmoe_dim)
		return (size_t)layer->opts.xmoe_dim;
	return d < layer->hidden_size ? d : layer->hidden_size;
}

static int check(const struct fsmoe_moe_layer *layer)
{
	if (layer->opts.xmoe_dim >= 0 && (size_t)layer->opts.xmoe_dim <= layer->hidden_size)
		return 0;
	return fsmoe_fail(
		EINVAL,
		"'%s': a gate of rank %d for tokens of width %zu: take 1 to %zu, or 0 for "
		"its own choice",
		layer->name, layer->opts.xmoe_dim, layer->hidden_size, layer->hidden_size);
}

static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	size_t d = rank_of(layer);
	fsmoe_tensor_t projection, directions, theta, u;

	projection = fsmoe_gate_param(layer, "projection", FSMOE_SHAPE2(d, layer->hidden_size),
				      FSMOE_INIT_NORMAL, layer->init_scale);
	/* Only their directions matter; of norm 1 they are as easy to turn as others to move. */
	directions = fsmoe_gate_param(layer, "weight", FSMOE_SHAPE2(layer->experts, d),
				      FSMOE_INIT_NORMAL, 1 / sqrt((double)d));
	theta = fsmoe_gate_param(layer, "temperature", FSMOE_SHAPE1(1), FSMOE_INIT_ONE, 0);
	u = fsmoe_gate_logits(layer->graph, x, projection);
	routing->logits =
		fsmoe_gate_cosine(layer->graph, u, directions, theta, TAU / layer->gate_init_scale);
	fsmoe_gate_choose(layer, routing->logits, FSMOE_WEIGHTS_DEFAULT, routing);
}

const struct fsmoe_gate fsmoe_gate_module_xmoe = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "xmoe",
			.doc = "cosines in a space of low rank over a learned temperature, top-k",
			.check = check,
		},
	.causal = FSMOE_CAUSAL_WITHOUT_DROPS,
	.routing = FSMOE_ROUTING_LISTS,
	.losses = FSMOE_LOSS_BALANCE | FSMOE_LOSS_IMPORTANCE | FSMOE_LOSS_Z,
	.options = FSMOE_GATE_DROP | FSMOE_GATE_WEIGHTS | FSMOE_GATE_RANK,
	.forward = forward,
};
