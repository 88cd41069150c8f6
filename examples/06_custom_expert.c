/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 06: an expert of one's own, in a model of fsmoe's: expert swiglu beside a connection that skips
 * it, y = x + mixtral(x), whose last matrix begins at zero, so that a new expert changes nothing.
 * Runs on any number of ranks: `mpirun -np 4 06_custom_expert 2` is 2 nodes of 2 ranks.
 *
 * New here: struct fsmoe_expert, fsmoe_expert_register, fsmoe_expert_param.
 */
#include "tiny.h"

#include <fsmoe/module.h>

static struct fsmoe_expert skipping; /* what is not set below is mixtral's */

/* In mixtral's order; the hidden dimension is cut over the shards of an expert. */
static void weights(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t *weight)
{
	size_t E = layer->experts, H = layer->ffn_size, M = layer->hidden_size;

	weight[0] = fsmoe_expert_param(layer, "w1", FSMOE_SHAPE3(E, H, M), 1, 0.1);
	weight[1] = fsmoe_expert_param(layer, "w3", FSMOE_SHAPE3(E, H, M), 1, 0.1);
	weight[2] = fsmoe_expert_param(layer, "w2", FSMOE_SHAPE3(E, M, H), 2, 0);
}

/* Outputs of an expert's shards are summed: one of them adds x. */
static fsmoe_tensor_t add(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x, fsmoe_tensor_t y)
{
	return layer->esp_rank == 0 ? fsmoe_residual(layer->graph, x, y, FSMOE_NONE) : y;
}

static fsmoe_tensor_t forward(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			      struct fsmoe_expert_chunk *chunk)
{
	return add(layer, chunk->in, fsmoe_expert_find("swiglu")->forward(layer, weight, chunk));
}

static fsmoe_tensor_t backward(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			       const struct fsmoe_expert_pass *fwd, struct fsmoe_expert_pass *bwd,
			       size_t i)
{
	fsmoe_tensor_t dx = fsmoe_expert_find("swiglu")->backward(layer, weight, fwd, bwd, i);

	return add(layer, bwd->chunk[i].in, dx);
}

static void change(struct fsmoe_model_spec *spec)
{
	spec->expert = "skipping";
	spec->forward_degree = 2;
	spec->backward_degree = 3;
}

int main(int argc, char **argv)
{
	skipping = *fsmoe_expert_find("swiglu");
	skipping.module.name = "skipping";
	skipping.module.doc = "mixtral, and its input beside it";
	skipping.weights = weights;
	skipping.forward = forward;
	skipping.backward = backward;
	TRY(fsmoe_expert_register(&skipping));
	return train_tiny(argc, argv, change);
}
