/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_topk.h"
#include "moe/modules.h"

/* The plain gate is one node. What else can be asked of it is put together from the parts that the
 * other gates are made of, with the same decisions. */
static int is_plain(const struct fsmoe_moe_layer *layer)
{
	return layer->drop_policy == FSMOE_DROP_POSITION &&
	       layer->routing_weights == FSMOE_WEIGHTS_DEFAULT && layer->opts.balance_loss == 0 &&
	       layer->opts.importance_loss == 0 && layer->opts.z_loss == 0;
}

static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	const struct fsmoe_gate_topk_args args = {layer->top_k, layer->group, layer->capacity};
	fsmoe_tensor_t wg =
		fsmoe_gate_param(layer, "weight", FSMOE_SHAPE2(layer->experts, layer->hidden_size),
				 FSMOE_INIT_NORMAL, layer->gate_scale);
	struct fsmoe_gate_topk out;

	if (!is_plain(layer))
	{
		routing->logits = fsmoe_gate_logits(layer->graph, x, wg);
		fsmoe_gate_choose(layer, routing->logits, FSMOE_WEIGHTS_DEFAULT, routing);
		return;
	}
	out = fsmoe_gate_topk(layer->graph, x, wg, &args);
	routing->width = layer->top_k;
	routing->expert = out.expert;
	routing->slot = out.slot;
	routing->weight = out.weight;
	routing->counts = out.counts;
	routing->probs = out.probs;
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
