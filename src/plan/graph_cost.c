/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <fsmoe/plan.h>
#include <stdlib.h>

/*
 * Costs of layers are read off a step's graph, so that the plan is for what runs: every node's work
 * at its kind's line. The graph has one chunk a layer, and weight gradients after it.
 */

struct reading
{
	fsmoe_graph_t graph;
	fsmoe_profile_t profile;
	const struct fsmoe_tensor_info *tensor;
	struct fsmoe_layer_cost *cost;
	int layers;
};

/* Two nodes of one stage add up: one more start, more work, at the mean slope of both. */
static void add_stage(struct fsmoe_stage *stage, const struct fsmoe_fit *fit, double work)
{
	const double before = stage->work;

	stage->alpha += fit->alpha;
	stage->work += work;
	stage->beta = before > 0 && stage->beta != fit->beta
			      ? (stage->beta * before + fit->beta * work) / stage->work
			      : fit->beta;
}

/* Returns the stage of the mixture that a node belongs to; NULL: it belongs to the dense part. Both
 * passes communicate equally, so only the forward is read, and only the first AlltoAll. */
static struct fsmoe_stage *stage_of(struct fsmoe_layer_cost *c, const struct fsmoe_node *node)
{
	const int forward = node->phase == FSMOE_FORWARD;

	if (node->op->kind == FSMOE_KIND_EXPERT)
		return forward           ? &c->expert
		       : node->chunk < 0 ? &c->expert_weights
					 : &c->expert_input;
	if (node->chunk < 0 || !forward)
		return NULL;
	switch (node->op->kind)
	{
	case FSMOE_KIND_ALLTOALL: /* what a dispatch does inside a node is beside AG and RS */
		if (node->op->group(node->args) == FSMOE_GROUP_EP_NODE)
			return c->expert.work > 0 ? &c->reduce_scatter : &c->allgather;
		return c->expert.work > 0 ? NULL : &c->alltoall;
	case FSMOE_KIND_ALLGATHER:
		return &c->allgather;
	case FSMOE_KIND_REDUCE_SCATTER:
		return &c->reduce_scatter;
	default:
		return NULL;
	}
}

static int read_node(const struct reading *r, const struct fsmoe_node *node)
{
	struct fsmoe_layer_cost *c = &r->cost[node->layer];
	const int comm = FSMOE_KIND_IS_COMM(node->op->kind);
	struct fsmoe_stage *stage = stage_of(c, node);
	const double work = fsmoe_node_work(node, r->tensor);
	struct fsmoe_fit fit;
	double seconds;
	int err;

	if (work <= 0 || (comm && !stage && (node->chunk >= 0 || node->phase != FSMOE_FORWARD)))
		return 0;
	if (node->chunk > 0)
		return fsmoe_fail(EINVAL,
				  "costs are read off a graph with one chunk a layer: layer "
				  "%d has more",
				  node->layer);
	err = fsmoe_profile_get(r->profile, fsmoe_node_cost_kind(node), node->span, &fit);
	if (err)
		return err;
	if (stage)
	{
		add_stage(stage, &fit, work);
		return 0;
	}
	seconds = fsmoe_line_seconds(fit.alpha, fit.beta, work);
	if (node->op->kind == FSMOE_KIND_REDUCE_SCATTER)
		c->dense_scatter += seconds;
	else if (comm)
		c->dense_gather += seconds;
	else if (node->phase == FSMOE_FORWARD)
		c->dense_forward += seconds;
	else
		c->dense_backward += seconds;
	return 0;
}

/* Adds the buckets that are summed over ranks after a layer's backward, in the order in which they
 * travel: among those complete together, the one made last goes first (src/step/gradients.c). */
static void read_gradients(const struct reading *r)
{
	const struct fsmoe_graph *g = r->graph;

	for (int i = g->nbuckets - 1; i >= 0; i--)
	{
		const struct fsmoe_bucket *b = &g->buckets[i];
		const double bytes = 4 * (double)fsmoe_shape_count(&g->tensors[b->grad].shape);
		struct fsmoe_layer_cost *c;

		if (b->layer < 0 || b->layer >= r->layers || bytes == 0 ||
		    fsmoe_group_size(g->groups, b->reduce) == 1)
			continue;
		c = &r->cost[b->layer];
		c->gradient_bytes += bytes;
		/* If there are too many, the last ones count as one. */
		c->buckets += c->buckets < FSMOE_LAYER_BUCKETS;
		c->bucket_bytes[c->buckets - 1] += bytes;
	}
}

int fsmoe_layer_cost_read(struct fsmoe_layer_cost *cost, int layers, fsmoe_graph_t graph,
			  fsmoe_profile_t profile)
{
	struct reading r = {.graph = graph, .profile = profile, .layers = layers};
	const struct fsmoe_node *node;
	int n, err = fsmoe_graph_status(graph);

	if (err)
		return err;
	r.cost = calloc((size_t)layers, sizeof(*r.cost));
	if (!r.cost)
		return fsmoe_fail(ENOMEM, "no memory for the costs of %d layers", layers);
	r.tensor = fsmoe_graph_tensors(graph, &n);
	node = fsmoe_graph_nodes(graph, &n);
	for (int i = 0; i < n && !err; i++)
		if (node[i].layer >= 0 && node[i].layer < layers && node[i].phase != FSMOE_UPDATE &&
		    node[i].micro_batch <= 0)
			err = read_node(&r, &node[i]);
	if (!err)
	{
		read_gradients(&r);
		for (int i = 0; i < layers; i++)
		{
			cost[i] = r.cost[i];
			cost[i].slots = i < graph->ncuts ? graph->cuts[i].slots : 0;
		}
	}
	free(r.cost);
	return err;
}
