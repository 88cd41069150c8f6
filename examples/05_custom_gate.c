/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 05: a gate of one's own, in a model of fsmoe's. It scores tokens with a network of two layers
 * instead of one matrix; operations that are there already make it up, so that its backward is
 * there too. Runs on any number of ranks: `mpirun -np 4 05_custom_gate 2` is 2 nodes of 2 ranks.
 *
 * New here: struct fsmoe_gate, fsmoe_gate_register, fsmoe_gate_param, fsmoe_gate_choose.
 */
#include <fsmoe.h>
#include <fsmoe/module.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY(call)                                                                                  \
	if ((call) < 0)                                                                            \
	return fprintf(stderr, "%s\n", fsmoe_last_error()), 1

/* Called while the graph is built, once a layer and micro-batch: logits = gelu(x W1^T) W2^T, and of
 * these the k greatest, with slots and weights as the other gates have them. */
static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	size_t M = layer->model_dim, E = layer->experts;
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
	.losses = FSMOE_LOSS_BALANCE | FSMOE_LOSS_Z, /* they read routing->logits */
	.forward = forward,
};

int main(int argc, char **argv)
{
	static int32_t tokens[16 * 16], targets[16 * 16];
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_train_result result = {0};
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	fsmoe_trainer_t trainer;

	TRY(fsmoe_gate_register(&two_layers));
	TRY(fsmoe_topo_create(&topo, NULL, argc > 1 ? atoi(argv[1]) : 0));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&rt, groups, NULL));
	TRY(fsmoe_model_spec_init(&spec, "tiny"));
	spec.gate = "two-layers";
	spec.group = 8; /* the same groups on every layout, so the same numbers */
	spec.gate_opts = (struct fsmoe_gate_opts){.balance_loss = 0.01, .z_loss = 0.001};
	fsmoe_train_opts_init(&opts);
	opts.batch = 16;
	TRY(fsmoe_trainer_create(&trainer, rt, fsmoe_model_forward, &spec, &opts));
	for (int step = 0; step < 30; step++)
	{
		for (int i = 0; i < 16 * 16; i++)
			targets[i] = (tokens[i] = (step + i) % 32) + 1;
		TRY(fsmoe_trainer_step(trainer, tokens, targets, 0.01, &result));
	}
	if (fsmoe_topo_rank(topo) == 0)
		printf("loss %.6f after 30 steps\n", result.loss);
	fsmoe_trainer_destroy(trainer);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return result.loss < 4 ? 0 : 1; /* it began at log 256 */
}
