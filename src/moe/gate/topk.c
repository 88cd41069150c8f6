/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_topk.h"
#include "moe/modules.h"

#include <stdio.h>

enum
{
	WG,
	PROBS
};

static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	const struct fsmoe_gate_topk_args args = {layer->topk, layer->group, layer->capacity};
	char name[256];
	fsmoe_tensor_t wg;
	struct fsmoe_gate_topk out;

	snprintf(name, sizeof(name), "%s.gate.weight", layer->name);
	/* Every rank holds all of it and sees tokens of its own. */
	wg = fsmoe_graph_param(layer->graph,
			       &(struct fsmoe_param_spec){
				       .name = name,
				       .global = FSMOE_SHAPE2(layer->experts, layer->model_dim),
				       .reduce = FSMOE_GROUP_WORLD,
				       .init = FSMOE_INIT_NORMAL,
				       .scale = layer->init_scale,
				       .decay = 1,
			       });
	out = fsmoe_gate_topk(layer->graph, x, wg, &args);
	routing->width = layer->topk;
	routing->expert = out.expert;
	routing->slot = out.slot;
	routing->weight = out.weight;
	routing->counts = out.counts;
	routing->saved[WG] = wg;
	routing->saved[PROBS] = out.probs;
}

static fsmoe_tensor_t backward(const struct fsmoe_moe_layer *layer, struct fsmoe_backward *b,
			       fsmoe_tensor_t x, const struct fsmoe_routing *routing,
			       const struct fsmoe_routing_grad *grad)
{
	const struct fsmoe_gate_topk saved = {routing->expert, routing->slot, routing->weight,
					      routing->saved[PROBS], routing->counts};
	fsmoe_tensor_t wg = routing->saved[WG];

	return fsmoe_gate_topk_backward(layer->graph, x, wg, &saved, grad->weight, FSMOE_NONE,
					fsmoe_backward_param(b, wg), fsmoe_backward_wants(b, x));
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
	.forward = forward,
	.backward = backward,
};
