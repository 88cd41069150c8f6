/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MOE_MOE_H
#define FSMOE_MOE_MOE_H

#include "moe/hooks.h"

/* A layer that is being appended; its memory is the graph's. */
struct fsmoe_moe_build
{
	struct fsmoe_moe_layer layer;
	int by_rows;                       /* chunks go by counts: struct fsmoe_taken */
	int one_stream, weights_per_chunk; /* columns of the schedule */
	const struct fsmoe_gate *gate;
	const struct fsmoe_order *order;
	const struct fsmoe_dispatch *dispatch;
	const struct fsmoe_expert *expert;
	struct fsmoe_hooks hooks;
	fsmoe_tensor_t x, y;
	struct fsmoe_routing routing;
	fsmoe_tensor_t weight[FSMOE_EXPERT_WEIGHTS];
	struct fsmoe_expert_pass forward, backward;
	fsmoe_tensor_t *returned; /* forward chunks as they came back, and backward ones later */
	fsmoe_tensor_t *dreturned;
};

/* Everything but x, y and tensors: modules found and asked, room for what chunks keep. 0 or a
 * negative errno. */
int fsmoe_moe_make(struct fsmoe_moe_build *moe, fsmoe_graph_t graph,
		   const struct fsmoe_moe_spec *spec);

#endif
