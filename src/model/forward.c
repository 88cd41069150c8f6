/* SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

#include <fsmoe/topo.h>
#include <stdio.h>

struct fsmoe_batch_spec fsmoe_batch_share(fsmoe_groups_t groups, int batch, int seq, int targets,
					  int i, int n)
{
	const int sequences = batch / fsmoe_group_size(groups, FSMOE_GROUP_DP) / n;
	const int place = fsmoe_group_rank(groups, FSMOE_GROUP_DP) * n + i;

	return (struct fsmoe_batch_spec){
		.sequences = sequences,
		.seq_length = seq,
		.scale = 1.0 / ((double)batch * (targets > 0 ? targets : seq)),
		.token_scale = 1.0 / ((double)batch * seq),
		.first = (size_t)place * (size_t)sequences,
	};
}

static fsmoe_tensor_t append_input(fsmoe_graph_t graph, const struct fsmoe_batch_spec *batch,
				   const char *name, int micro_batch)
{
	const int parts = fsmoe_group_size(fsmoe_graph_groups(graph), FSMOE_GROUP_TP);
	const size_t rows = (size_t)batch->sequences * (size_t)(batch->seq_length / parts);
	char number[16] = "";

	if (micro_batch >= 0)
		snprintf(number, sizeof(number), ".%d", micro_batch);
	return fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(rows), "%s%s", name, number);
}

fsmoe_tensor_t fsmoe_forward_append(fsmoe_graph_t graph, struct fsmoe_batch_spec *batch,
				    int micro_batch, struct fsmoe_forward forward)
{
	batch->tokens = append_input(graph, batch, "tokens", micro_batch);
	batch->targets = append_input(graph, batch, "targets", micro_batch);
	return forward.fn(graph, batch, forward.arg);
}

static int end_graph(struct fsmoe_forward_graph *f)
{
	const int err = fsmoe_graph_status(f->graph);

	if (err)
	{
		fsmoe_graph_destroy(f->graph);
		f->graph = NULL;
	}
	return err;
}

int fsmoe_forward_graph_create(struct fsmoe_forward_graph *f, fsmoe_groups_t groups,
			       const struct fsmoe_batch_spec *batch, struct fsmoe_forward forward)
{
	int err = fsmoe_graph_create(&f->graph, groups);

	if (err)
		return err;
	f->batch = *batch;
	f->out = fsmoe_forward_append(f->graph, &f->batch, -1, forward);
	return end_graph(f);
}

int fsmoe_forward_graph_logits(struct fsmoe_forward_graph *f, fsmoe_groups_t groups,
			       const struct fsmoe_model_spec *spec)
{
	int err = fsmoe_graph_create(&f->graph, groups);

	if (err)
		return err;
	f->batch = (struct fsmoe_batch_spec){
		.sequences = 1, .seq_length = spec->seq_length, .targets = FSMOE_NONE, .scale = 1};
	f->batch.tokens = append_input(f->graph, &f->batch, "tokens", -1);
	f->out = fsmoe_model_logits(f->graph, &f->batch, spec);
	return end_graph(f);
}
