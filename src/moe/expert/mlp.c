/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_mlp.h"
#include "moe/modules.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

static const struct
{
	const char *name;
	enum fsmoe_ffn_activation activation;
} activations[] = {{"gelu", FSMOE_FFN_GELU}, {"relu", FSMOE_FFN_RELU}};
#define NACTIVATIONS ((int)(sizeof(activations) / sizeof(activations[0])))

/* The number of the layer's activation in the table, of which the first is the default;
 * NACTIVATIONS: it is unknown. */
static int find(const struct fsmoe_moe_layer *layer)
{
	const char *name = layer->expert_opts.activation;
	int i = 0;

	while (name && i < NACTIVATIONS && strcmp(name, activations[i].name))
		i++;
	return i;
}

static struct fsmoe_expert_args network(const struct fsmoe_moe_layer *layer)
{
	return fsmoe_ffn_args(layer, &fsmoe_ffn_mlp, activations[find(layer)].activation);
}

static int check(const struct fsmoe_moe_layer *layer)
{
	if (find(layer) < NACTIVATIONS)
		return 0;
	return fsmoe_fail(EINVAL, "'%s': expert 'mlp' has no activation '%s': take gelu or relu",
			  layer->name, layer->expert_opts.activation);
}

static void weights(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t *weight)
{
	size_t E = layer->experts, H = layer->ffn_size, M = layer->hidden_size;

	weight[FSMOE_MLP_W1] =
		fsmoe_expert_param(layer, "w1", FSMOE_SHAPE3(E, H, M), 1, layer->init_scale);
	weight[FSMOE_MLP_W2] =
		fsmoe_expert_param(layer, "w2", FSMOE_SHAPE3(E, M, H), 2, layer->output_scale);
	if (layer->expert_opts.no_bias)
		return;
	weight[FSMOE_MLP_B1] = fsmoe_expert_param(layer, "b1", FSMOE_SHAPE2(E, H), 1, 0);
	weight[FSMOE_MLP_B2] = fsmoe_expert_param(layer, "b2", FSMOE_SHAPE2(E, M), 0, 0);
}

static fsmoe_tensor_t forward(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			      struct fsmoe_expert_chunk *chunk)
{
	const fsmoe_tensor_t used[FSMOE_MLP_WEIGHTS] = {
		weight[FSMOE_MLP_W1], weight[FSMOE_MLP_B1], weight[FSMOE_MLP_W2],
		/* The shards' outputs are summed: one of them brings the bias. */
		layer->esp_rank == 0 ? weight[FSMOE_MLP_B2] : FSMOE_NONE};

	return fsmoe_ffn_forward(layer->graph, network(layer), fsmoe_filled_counts(layer), used,
				 chunk);
}

static fsmoe_tensor_t backward(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			       const struct fsmoe_expert_pass *fwd, struct fsmoe_expert_pass *bwd,
			       size_t i)
{
	return fsmoe_ffn_backward_input(layer->graph, network(layer), fsmoe_filled_counts(layer),
					weight, fwd, bwd, i);
}

/* Every shard sees the whole gradient of the output, so all of them get the same gradient of b2,
 * and their copies of it stay equal without another reduction. */
static void weight_gradients(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			     const fsmoe_tensor_t *gradient, const struct fsmoe_expert_pass *fwd,
			     const struct fsmoe_expert_pass *bwd, size_t first, size_t last)
{
	(void)weight;
	fsmoe_ffn_backward_weight(layer->graph, network(layer), fsmoe_filled_counts(layer),
				  gradient, fwd, bwd, first, last);
}

const struct fsmoe_expert fsmoe_expert_module_mlp = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "mlp",
			.doc = "two matrices with biases and tanh GELU between them; ReLU or no "
			       "biases by option",
			.check = check,
		},
	.by_rows = 1,
	.weights = weights,
	.forward = forward,
	.backward = backward,
	.weight_gradients = weight_gradients,
};
