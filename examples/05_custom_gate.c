/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 05: a gate of one's own, in a model of fsmoe's. It scores tokens with a network of two layers
 * instead of one matrix; operations that are there already make it up, so that its backward is
 * there too. Runs on any number of ranks: `mpirun -np 4 05_custom_gate 2` is 2 nodes of 2 ranks.
 *
 * New here: struct fsmoe_gate, fsmoe_gate_register, fsmoe_gate_param, fsmoe_gate_choose.
 */
#include "tiny.h"

#include <fsmoe/module.h>

/* Called while the graph is built, once a layer and micro-batch: logits = gelu(x W1^T) W2^T, and of
 * these the k greatest, with slots and weights as the other gates have them. */
static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	size_t M = layer->hidden_size, E = layer->experts;
	fsmoe_tensor_t w1, w2, h;

	w1 = fsmoe_gate_param(layer, "w1", FSMOE_SHAPE2(2 * E, M), FSMOE_INIT_NORMAL, 0.1);
	w2 = fsmoe_gate_param(layer, "w2", FSMOE_SHAPE2(E, 2 * E), FSMOE_INIT_NORMAL, 0.1);
	h = fsmoe_gelu(layer->graph, fsmoe_gate_logits(layer->graph, x, w1));
	routing->logits = fsmoe_gate_logits(layer->graph, h, w2);
	fsmoe_gate_choose(layer, routing->logits, FSMOE_WEIGHTS_DEFAULT, routing);
}

static const struct fsmoe_gate two_layers = {
	.module = {FSMOE_MODULE_ABI, "two-layers", "scores from a network of two layers", NULL},
	.causal = FSMOE_CAUSAL_WITHOUT_DROPS,
	.routing = FSMOE_ROUTING_LISTS,
	.losses = FSMOE_LOSS_BALANCE | FSMOE_LOSS_Z,     /* they read routing->logits */
	.options = FSMOE_GATE_DROP | FSMOE_GATE_WEIGHTS, /* as fsmoe_gate_choose */
	.forward = forward,
};

static void change(struct fsmoe_model_spec *spec)
{
	spec->gate = "two-layers";
	spec->gate_opts = (struct fsmoe_gate_opts){.balance_loss = 0.01, .z_loss = 0.001};
}

int main(int argc, char **argv)
{
	TRY(fsmoe_gate_register(&two_layers));
	return train_tiny(argc, argv, change);
}
