/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_scores.h"
#include "codelets/gate_soft.h"
#include "codelets/linear.h"
#include "moe/modules.h"

/* SoftMoE (arXiv 2308.00951) within routing groups: every slot is a mix of a group's tokens, every
 * output a mix of its slots. phi has a vector a slot, so its size follows the group's capacity. */

static void forward(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
		    struct fsmoe_routing *routing)
{
	const struct fsmoe_shape shape =
		FSMOE_SHAPE3(layer->experts, layer->capacity, layer->hidden_size);
	fsmoe_tensor_t phi, theta, logits;
	struct fsmoe_gate_soft soft;

	phi = fsmoe_gate_param(layer, "phi", shape, FSMOE_INIT_NORMAL, layer->gate_scale);
	if (layer->opts.softmoe_normalize)
	{
		theta = fsmoe_gate_param(layer, "temperature", FSMOE_SHAPE1(1), FSMOE_INIT_ONE, 0);
		logits = fsmoe_gate_cosine(layer->graph, x, phi, theta, 1 / layer->gate_init_scale);
	}
	else /* nothing is decided by these numbers, so any order of additions will do */
		logits = fsmoe_linear_as(layer->graph, FSMOE_WIDE, x, phi, FSMOE_NONE);
	soft = fsmoe_gate_soft(layer->graph, logits, layer->group);
	routing->dispatch = soft.dispatch;
	routing->combine = soft.combine;
}

const struct fsmoe_gate fsmoe_gate_module_softmoe = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "softmoe",
			.doc = "no choice: every slot is a mix of a group's tokens",
		},
	.causal = FSMOE_NOT_CAUSAL,
	.routing = FSMOE_ROUTING_DENSE,
	.options = FSMOE_GATE_NORMALIZE,
	.forward = forward,
};
