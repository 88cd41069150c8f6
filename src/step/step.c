/* SPDX-License-Identifier: Apache-2.0 */
#include "step/step.h"

#include "graph/basic.h"
#include "graph/graph.h"
#include "model/forward.h"
#include "step/gradients.h"
#include "step/optimizer.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/ops.h>
#include <stdlib.h>

static int check(const struct fsmoe_train_opts *o, int dp, int mp)
{
	if (o->micro_batches < 1 || o->global_batch < 1 || o->seq_length < 1)
		return fsmoe_fail(EINVAL, "batch, micro-batches and sequence must be at least 1");
	if (o->global_batch % (dp * o->micro_batches))
		return fsmoe_fail(
			EINVAL,
			"batch = %d is not a multiple of %d data-parallel ranks x %d micro-batches",
			o->global_batch, dp, o->micro_batches);
	if (o->seq_length % mp)
		return fsmoe_fail(EINVAL,
				  "seq-length = %d is not a multiple of %d tensor-parallel ranks",
				  o->seq_length, mp);
	return 0;
}

static void append_micro_batch(struct fsmoe_step_graph *s, int i, struct fsmoe_forward forward,
			       const struct fsmoe_train_opts *o, fsmoe_tensor_t *loss,
			       struct fsmoe_gradients *gradients)
{
	fsmoe_graph_t g = s->graph;
	const int first = g->nnodes;

	s->batch[i] = fsmoe_batch_share(g->groups, o->global_batch, o->seq_length, o->targets, i,
					o->micro_batches);
	fsmoe_graph_set_micro_batch(g, i);
	*loss = fsmoe_forward_append(g, &s->batch[i], i, forward);
	/* The first forward has made all parameters: now their gradients start from zero. */
	for (int k = 0; i == 0 && k < g->nbuckets; k++)
	{
		fsmoe_graph_set_layer(g, g->buckets[k].layer);
		fsmoe_zero(g, g->buckets[k].grad);
	}
	if (i + 1 == o->micro_batches)
		fsmoe_gradients_begin(gradients, g, first, o->plan);
	fsmoe_graph_backward(g, *loss);
}

/* Sums all auxiliary losses over the job, for people: they enter gradients, but no reported
 * loss. */
static fsmoe_tensor_t sum_losses(fsmoe_graph_t g)
{
	int n;
	const fsmoe_tensor_t *loss = fsmoe_graph_losses(g, &n);
	fsmoe_tensor_t sum;

	if (n == 0)
		return FSMOE_NONE;
	sum = n > 1 ? fsmoe_sum(g, loss, n) : loss[0];
	if (sum != FSMOE_NONE)
		fsmoe_allreduce(g, sum, FSMOE_GROUP_WORLD);
	return sum;
}

/* Sets the schedule row, and the degrees of the plan. */
static int lay_out(fsmoe_graph_t g, const struct fsmoe_train_opts *o)
{
	const struct fsmoe_schedule *row = o->schedule;

	if (!row && o->plan)
	{
		row = fsmoe_schedule_find(o->plan->schedule);
		if (!row)
			return fsmoe_graph_fail(g, -ENOENT);
	}
	if (row)
		fsmoe_graph_set_schedule(g, row);
	for (int i = 0; o->plan && i < o->plan->layers; i++)
		fsmoe_graph_set_degrees(g, i, o->plan->layer[i].forward_degree,
					o->plan->layer[i].backward_degree);
	return g->status;
}

int fsmoe_step_create(struct fsmoe_step_graph *s, fsmoe_groups_t groups,
		      struct fsmoe_forward forward, const struct fsmoe_train_opts *o)
{
	struct fsmoe_gradients gradients = {0};
	int err = check(o, fsmoe_group_size(groups, FSMOE_GROUP_DP),
			fsmoe_group_size(groups, FSMOE_GROUP_TP));

	if (err)
		return err;
	*s = (struct fsmoe_step_graph){.micro_batches = o->micro_batches};
	err = fsmoe_graph_create(&s->graph, groups);
	if (err)
		return err;
	fsmoe_tensor_t loss[o->micro_batches];
	s->batch = calloc((size_t)o->micro_batches, sizeof(*s->batch));
	if (!s->batch)
	{
		fsmoe_step_destroy(s);
		return fsmoe_fail(ENOMEM, "no memory for %d micro-batches", o->micro_batches);
	}
	lay_out(s->graph, o);
	for (int i = 0; i < o->micro_batches; i++)
		append_micro_batch(s, i, forward, o, &loss[i], &gradients);
	fsmoe_graph_set_micro_batch(s->graph, -1);
	fsmoe_graph_set_layer(s->graph, -1);
	fsmoe_graph_set_phase(s->graph, FSMOE_UPDATE);
	s->loss = o->micro_batches > 1 ? fsmoe_sum(s->graph, loss, o->micro_batches) : loss[0];
	if (s->loss != FSMOE_NONE)
		fsmoe_allreduce(s->graph, s->loss, FSMOE_GROUP_WORLD);
	s->auxiliary = sum_losses(s->graph);
	fsmoe_gradients_end(&gradients);
	fsmoe_graph_set_layer(s->graph, -1);
	err = fsmoe_step_append_update(s->graph, o, s->loss, &s->norm2);
	if (err)
		fsmoe_step_destroy(s);
	return err;
}

void fsmoe_step_destroy(struct fsmoe_step_graph *s)
{
	fsmoe_graph_destroy(s->graph);
	free(s->batch);
	*s = (struct fsmoe_step_graph){0};
}
