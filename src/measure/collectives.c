/* SPDX-License-Identifier: Apache-2.0 */
#include "measure/sampler.h"
#include "step/step.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <fsmoe/ops.h>
#include <math.h>
#include <string.h>

/*
 * Communication: chains of one collective on one group after a barrier, the first of each size left
 * out. Before each link its buffer is written on the compute lane, as in a step: so the lane's
 * worker is woken for it, and ranks do not come at one instant. A rank that comes late makes the
 * others wait, but in a chain nobody can be later than the link before lets him be. Sizes are those
 * of the model's step, from its smallest chunk to twice its largest buffer.
 */
enum
{
	SIZES = 8,
	CHAIN = 5, /* the first is not counted */
	SMALLEST = 1024
};

static const struct pattern
{
	enum fsmoe_kind kind;
	enum fsmoe_group group;
} patterns[] = {
	{FSMOE_KIND_ALLTOALL, FSMOE_GROUP_EP},        {FSMOE_KIND_ALLGATHER, FSMOE_GROUP_TP},
	{FSMOE_KIND_ALLGATHER, FSMOE_GROUP_ESP},      {FSMOE_KIND_REDUCE_SCATTER, FSMOE_GROUP_TP},
	{FSMOE_KIND_REDUCE_SCATTER, FSMOE_GROUP_ESP}, {FSMOE_KIND_ALLREDUCE, FSMOE_GROUP_DP},
	{FSMOE_KIND_ALLREDUCE, FSMOE_GROUP_EDP},      {FSMOE_KIND_ALLREDUCE, FSMOE_GROUP_WORLD},
	{FSMOE_KIND_STAGE, FSMOE_GROUP_EP_RAIL},      {FSMOE_KIND_STAGE, FSMOE_GROUP_EP_NODE},
};
#define NPATTERNS (int)(sizeof(patterns) / sizeof(patterns[0]))

/* Bytes, by pattern; most is 0 where the model has none. */
struct range
{
	double least, most;
};

static int counts(const struct fsmoe_node *node)
{
	return FSMOE_KIND_IS_COMM(node->op->kind) && node->chunk > 0;
}

static int carries_tokens(const struct pattern *pattern)
{
	return pattern->kind == FSMOE_KIND_ALLTOALL || pattern->kind == FSMOE_KIND_STAGE;
}

static void read_ranges(fsmoe_graph_t graph, struct range *range)
{
	int nnodes, ntensors;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);

	for (int i = 0; i < nnodes; i++)
		for (int p = 0; p < NPATTERNS; p++)
		{
			const double bytes = fsmoe_node_work(&node[i], tensors);

			if (!FSMOE_KIND_IS_COMM(node[i].op->kind) || bytes <= 0 ||
			    fsmoe_node_cost_kind(&node[i]) != patterns[p].kind ||
			    node[i].op->group(node[i].args) != patterns[p].group)
				continue;
			range[p].least = range[p].most > 0 ? fmin(range[p].least, bytes) : bytes;
			range[p].most = fmax(range[p].most, bytes);
		}
}

/* A dispatch carries the same bytes in one exchange as in every stage: whichever the model has, all
 * are measured with them, so that dispatches can be compared. */
static void share_ranges(struct range *range)
{
	struct range all = {0};

	for (int p = 0; p < NPATTERNS; p++)
		if (carries_tokens(&patterns[p]) && range[p].most > 0)
		{
			all.least = all.most > 0 ? fmin(all.least, range[p].least) : range[p].least;
			all.most = fmax(all.most, range[p].most);
		}
	for (int p = 0; p < NPATTERNS; p++)
		if (carries_tokens(&patterns[p]))
			range[p] = all;
}

static int find_ranges(struct fsmoe_sampler *sampler, const struct fsmoe_model_spec *model,
		       const struct fsmoe_train_opts *train, int max_degree, struct range *range)
{
	struct fsmoe_model_spec spec = *model;
	struct fsmoe_step_graph step;
	int err = fsmoe_step_create(&step, fsmoe_runtime_groups(sampler->runtime),
				    fsmoe_model_as_forward(&spec), train);

	if (err)
		return err;
	read_ranges(step.graph, range);
	share_ranges(range);
	fsmoe_step_destroy(&step);
	for (int p = 0; p < NPATTERNS; p++)
	{
		/* No model gives it: take the size of a small message. */
		if (range[p].most <= 0)
			range[p].most = range[p].least = 256 * 1024;
		range[p].least = fmax(range[p].least / max_degree, SMALLEST);
		range[p].most = fmax(2 * range[p].most, 16 * range[p].least);
	}
	return 0;
}

/* A chain of one size. The chunk label counts the links: 0 is not measured. */
static void append_chain(fsmoe_graph_t graph, const struct pattern *pattern, size_t ranks,
			 double bytes)
{
	const size_t block = (size_t)ceil(bytes / 4 / (double)ranks);
	const int whole = pattern->kind != FSMOE_KIND_ALLGATHER;
	fsmoe_tensor_t x = fsmoe_graph_activation(graph, FSMOE_REAL,
						  FSMOE_SHAPE2(whole ? ranks : 1, block), "chain");

	for (int i = 0; i < CHAIN; i++)
	{
		fsmoe_graph_set_chunk(graph, i);
		fsmoe_zero(graph, x);
		switch (pattern->kind)
		{
		case FSMOE_KIND_ALLTOALL:
		case FSMOE_KIND_STAGE:
			fsmoe_alltoall(graph, x, pattern->group);
			break;
		case FSMOE_KIND_ALLGATHER:
			fsmoe_allgather(graph, x, pattern->group);
			break;
		case FSMOE_KIND_REDUCE_SCATTER:
			fsmoe_reduce_scatter(graph, x, pattern->group);
			break;
		default:
			fsmoe_allreduce(graph, x, pattern->group);
		}
	}
}

static int run_pattern(struct fsmoe_sampler *sampler, const struct pattern *pattern,
		       const struct range *range, double seconds)
{
	fsmoe_groups_t groups = fsmoe_runtime_groups(sampler->runtime);
	const int ranks = fsmoe_group_size(groups, pattern->group);
	const double factor = pow(range->most / range->least, 1.0 / (SIZES - 1));
	fsmoe_graph_t graph;
	fsmoe_memory_t memory = NULL;
	int err = fsmoe_graph_create(&graph, groups);

	if (err)
		return err;
	for (int i = 0; i < SIZES; i++)
		append_chain(graph, pattern, (size_t)ranks, range->least * pow(factor, i));
	err = fsmoe_graph_status(graph);
	if (!err)
		err = fsmoe_memory_create(&memory, graph, FSMOE_F32, NULL);
	if (!err)
		err = fsmoe_sampler_run(sampler, graph, memory, seconds, counts);
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(graph);
	return err;
}

int fsmoe_sampler_collectives(struct fsmoe_sampler *sampler, const struct fsmoe_model_spec *model,
			      const struct fsmoe_train_opts *train, int max_degree, double seconds)
{
	fsmoe_groups_t groups = fsmoe_runtime_groups(sampler->runtime);
	struct range range[NPATTERNS] = {{0}};
	int err = find_ranges(sampler, model, train, max_degree, range), n = 0;

	for (int p = 0; p < NPATTERNS; p++)
		n += fsmoe_group_size(groups, patterns[p].group) > 1;
	for (int p = 0; p < NPATTERNS && !err; p++)
		if (fsmoe_group_size(groups, patterns[p].group) > 1)
			err = run_pattern(sampler, &patterns[p], &range[p], seconds / n);
	return err;
}
