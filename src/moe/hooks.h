/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MOE_HOOKS_H
#define FSMOE_MOE_HOOKS_H

#include <fsmoe/module.h>

/* A layer's hooks, in memory of the graph. */
struct fsmoe_hooks
{
	const struct fsmoe_hook *hook;
	int n;
};

/* Copies and checks those of a spec. 0, -EINVAL or the graph's status. */
int fsmoe_hooks_init(struct fsmoe_hooks *hooks, fsmoe_graph_t graph,
		     const struct fsmoe_moe_spec *spec);

/* What passes on of x at a place: of chunk i of the cuts, or, at the first and the last place,
 * with cuts NULL. */
fsmoe_tensor_t fsmoe_hooks_run(const struct fsmoe_hooks *hooks, const struct fsmoe_moe_layer *layer,
			       enum fsmoe_hook_place place, enum fsmoe_phase phase,
			       const struct fsmoe_cuts *cuts, size_t i, fsmoe_tensor_t x);

#endif
