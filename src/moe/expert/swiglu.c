/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_swiglu.h"
#include "moe/modules.h"

#include <errno.h>
#include <fsmoe/error.h>

static struct fsmoe_expert_args network(const struct fsmoe_moe_layer *layer)
{
	return fsmoe_ffn_args(layer, &fsmoe_ffn_swiglu, FSMOE_FFN_SWIGLU);
}

static int check(const struct fsmoe_moe_layer *layer)
{
	if (!layer->expert_opts.activation)
		return 0;
	return fsmoe_fail(EINVAL,
			  "'%s': expert 'swiglu' takes no activation '%s': omit it, or take expert "
			  "'mlp'",
			  layer->name, layer->expert_opts.activation);
}

static void weights(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t *weight)
{
	size_t E = layer->experts, H = layer->ffn_size, M = layer->hidden_size;

	weight[FSMOE_SWIGLU_W1] =
		fsmoe_expert_param(layer, "w1", FSMOE_SHAPE3(E, H, M), 1, layer->init_scale);
	weight[FSMOE_SWIGLU_W3] =
		fsmoe_expert_param(layer, "w3", FSMOE_SHAPE3(E, H, M), 1, layer->init_scale);
	weight[FSMOE_SWIGLU_W2] =
		fsmoe_expert_param(layer, "w2", FSMOE_SHAPE3(E, M, H), 2, layer->output_scale);
}

static fsmoe_tensor_t forward(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			      struct fsmoe_expert_chunk *chunk)
{
	return fsmoe_ffn_forward(layer->graph, network(layer), fsmoe_filled_counts(layer), weight,
				 chunk);
}

static fsmoe_tensor_t backward(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			       const struct fsmoe_expert_pass *fwd, struct fsmoe_expert_pass *bwd,
			       size_t i)
{
	return fsmoe_ffn_backward_input(layer->graph, network(layer), fsmoe_filled_counts(layer),
					weight, fwd, bwd, i);
}

static void weight_gradients(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
			     const fsmoe_tensor_t *gradient, const struct fsmoe_expert_pass *fwd,
			     const struct fsmoe_expert_pass *bwd, size_t first, size_t last)
{
	(void)weight;
	fsmoe_ffn_backward_weight(layer->graph, network(layer), fsmoe_filled_counts(layer),
				  gradient, fwd, bwd, first, last);
}

const struct fsmoe_expert fsmoe_expert_module_swiglu = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "swiglu",
			.doc = "SwiGLU: three matrices without biases, as in Mixtral",
			.check = check,
		},
	.by_rows = 1,
	.weights = weights,
	.forward = forward,
	.backward = backward,
	.weight_gradients = weight_gradients,
};
