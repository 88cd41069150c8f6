/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/model.h>
#include <fsmoe/module.h>

/* Whoever adds a module need not tell here how large it is: the graph of one sequence knows. */
int fsmoe_model_count(const struct fsmoe_model_spec *spec, fsmoe_groups_t groups, size_t *total,
		      size_t *active)
{
	const size_t rows = (size_t)(spec->seq_length / fsmoe_group_size(groups, FSMOE_GROUP_TP));
	const struct fsmoe_gate *gate = fsmoe_gate_find(spec->gate);
	struct fsmoe_batch_spec batch = {
		.sequences = 1, .seq_length = spec->seq_length, .scale = 1};
	size_t all = 0, idle = 0; /* parameters; those of experts that a token does not go to */
	fsmoe_graph_t graph;
	int n, err = fsmoe_graph_create(&graph, groups);

	if (err)
		return err;
	batch.tokens = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(rows), "tokens");
	fsmoe_model_logits(graph, &batch, spec);
	err = fsmoe_graph_status(graph);
	const struct fsmoe_param *param = fsmoe_graph_params(graph, &n);
	for (int i = 0; i < n && !err; i++)
	{
		const size_t count = fsmoe_shape_count(&param[i].spec.global);

		all += count;
		if (param[i].spec.reduce == FSMOE_GROUP_EDP && gate->routing == FSMOE_ROUTING_LISTS)
			idle += count / (size_t)spec->experts *
				(size_t)(spec->experts - spec->top_k);
	}
	fsmoe_graph_destroy(graph);
	if (err)
		return err;
	*total = all;
	*active = all - idle;
	return 0;
}
