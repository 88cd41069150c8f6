/* SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

#include <fsmoe/module.h>

/* Read off the graph of one sequence, so that a new module needs no formula here. */
int fsmoe_model_count(const struct fsmoe_model_spec *spec, fsmoe_groups_t groups, size_t *total,
		      size_t *active)
{
	const struct fsmoe_gate *gate = fsmoe_gate_find(spec->gate);
	struct fsmoe_forward_graph forward;
	size_t all = 0, idle = 0; /* parameters; those of experts that a token does not go to */
	int n, err = fsmoe_forward_graph_logits(&forward, groups, spec);

	if (err)
		return err;
	const struct fsmoe_param *param = fsmoe_graph_params(forward.graph, &n);
	for (int i = 0; i < n; i++)
	{
		const size_t count = fsmoe_shape_count(&param[i].spec.global);

		all += count;
		if (param[i].spec.reduce == FSMOE_GROUP_EDP && gate->routing == FSMOE_ROUTING_LISTS)
			idle += count / (size_t)spec->experts *
				(size_t)(spec->experts - spec->top_k);
	}
	fsmoe_graph_destroy(forward.graph);
	*total = all;
	*active = all - idle;
	return 0;
}
