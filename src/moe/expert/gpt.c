/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_gpt.h"
#include "moe/modules.h"

#include <stdio.h>

/* One parameter of all experts; `shard` is the dimension cut over the shards of an expert, 0: none.
 * Ranks that hold the same experts and shard see other tokens: their gradients are summed. */
static fsmoe_tensor_t param(const struct fsmoe_moe_layer *layer, const char *suffix,
			    struct fsmoe_shape global, int shard, double scale)
{
	char name[256];
	struct fsmoe_param_spec spec = {
		.name = name,
		.global = global,
		.parts = {layer->ep},
		.index = {layer->ep_rank},
		.reduce = FSMOE_GROUP_EDP,
		.init = scale > 0 ? FSMOE_INIT_NORMAL : FSMOE_INIT_ZERO,
		.scale = scale,
		.decay = global.ndim == 3, /* matrices, not biases */
	};

	snprintf(name, sizeof(name), "%s.experts.%s", layer->name, suffix);
	if (shard)
	{
		spec.parts[shard] = layer->esp;
		spec.index[shard] = layer->esp_rank;
	}
	return fsmoe_graph_param(layer->graph, &spec);
}

static void weights(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t *weight)
{
	size_t E = layer->experts, H = layer->hidden, M = layer->model_dim;

	weight[FSMOE_GPT_W1] = param(layer, "w1", FSMOE_SHAPE3(E, H, M), 1, layer->init_scale);
	weight[FSMOE_GPT_B1] = param(layer, "b1", FSMOE_SHAPE2(E, H), 1, 0);
	weight[FSMOE_GPT_W2] = param(layer, "w2", FSMOE_SHAPE3(E, M, H), 2, layer->output_scale);
	weight[FSMOE_GPT_B2] = param(layer, "b2", FSMOE_SHAPE2(E, M), 0, 0);
}

static fsmoe_tensor_t forward(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			      struct fsmoe_expert_chunk *chunk)
{
	const fsmoe_tensor_t used[FSMOE_GPT_WEIGHTS] = {
		weight[FSMOE_GPT_W1], weight[FSMOE_GPT_B1], weight[FSMOE_GPT_W2],
		/* The shards' outputs are summed: one of them brings the bias. */
		layer->esp_rank == 0 ? weight[FSMOE_GPT_B2] : FSMOE_NONE};

	return fsmoe_expert_gpt(layer->graph, used, chunk);
}

static fsmoe_tensor_t backward(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			       const struct fsmoe_expert_pass *fwd, struct fsmoe_expert_pass *bwd,
			       size_t i)
{
	return fsmoe_expert_gpt_backward_input(layer->graph, weight, fwd, bwd, i);
}

/* Every shard sees the whole gradient of the output, so all of them get the same gradient of b2,
 * and their copies of it stay equal without another reduction. */
static void weight_gradients(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			     const fsmoe_tensor_t *gradient, const struct fsmoe_expert_pass *fwd,
			     const struct fsmoe_expert_pass *bwd, size_t first, size_t last)
{
	(void)weight;
	fsmoe_expert_gpt_backward_weight(layer->graph, gradient, fwd, bwd, first, last);
}

const struct fsmoe_expert fsmoe_expert_module_gpt = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "gpt",
			.doc = "two matrices with biases and tanh GELU between them",
		},
	.weights = weights,
	.forward = forward,
	.backward = backward,
	.weight_gradients = weight_gradients,
};
