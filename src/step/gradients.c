/* SPDX-License-Identifier: Apache-2.0 */
#include "step/gradients.h"

#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/ops.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

/* A bucket that is summed over more than this rank. */
struct fsmoe_gradients_bucket
{
	int index; /* in the graph's buckets */
	int ready; /* complete once the forward nodes from this one on are differentiated */
	size_t count, sent;
};

enum
{
	FLOAT = 4 /* bytes: plans count gradients as floats */
};

/* --- the list ----------------------------------------------------------------------------- */

/* Earliest first; among equals the one made last, as a backward reaches them. */
static int by_readiness(const void *a, const void *b)
{
	const struct fsmoe_gradients_bucket *x = a, *y = b;

	if (x->ready != y->ready)
		return x->ready > y->ready ? -1 : 1;
	return y->index - x->index;
}

/* Finds the first forward node that reads a bucket's parameters or has its layer label: once that
 * is differentiated, no node adds to the bucket any more. The label counts because the parameters
 * that a rank reads may depend on the rank (only one shard of an expert adds its bias), and the
 * list may not. */
static void find_readiness(const struct fsmoe_graph *g, int first, int *ready)
{
	for (int k = 0; k < g->nbuckets; k++)
		ready[k] = INT_MAX;
	for (int i = g->nnodes - 1; i >= first; i--)
	{
		const struct fsmoe_node *node = &g->nodes[i];

		if (node->phase != FSMOE_FORWARD)
			continue;
		for (int k = 0; k < g->nbuckets; k++)
		{
			if (g->buckets[k].layer == node->layer)
				ready[k] = i;
			for (int a = 0; a < node->naccess; a++)
				if (node->access[a].tensor != FSMOE_NONE &&
				    g->tensors[node->access[a].tensor].base == g->buckets[k].tensor)
					ready[k] = i;
		}
	}
}

static int make_list(struct fsmoe_gradients *q, int first)
{
	const struct fsmoe_graph *g = q->graph;
	int *ready = malloc(((size_t)g->nbuckets + 1) * sizeof(*ready));

	if (!ready)
		return fsmoe_fail(ENOMEM, "no memory for the exchange of gradients");
	find_readiness(g, first, ready);
	for (int k = 0; k < g->nbuckets; k++)
		if (fsmoe_group_size(g->groups, g->buckets[k].reduce) > 1)
			q->bucket[q->n++] = (struct fsmoe_gradients_bucket){
				.index = k,
				.ready = ready[k],
				.count = fsmoe_shape_count(&g->tensors[g->buckets[k].grad].shape)};
	qsort(q->bucket, (size_t)q->n, sizeof(*q->bucket), by_readiness);
	free(ready);
	return 0;
}

/* Counts the elements that can be sent once the forward nodes after `done` are differentiated. */
static size_t count_ready(const struct fsmoe_gradients *q, int done)
{
	size_t n = 0;

	for (int k = 0; k < q->n && q->bucket[k].ready > done; k++)
		n += q->bucket[k].count - q->bucket[k].sent;
	return n;
}

/* --- sending ------------------------------------------------------------------------------ */

/* Sends the next n elements of the list, by an AllReduce for every bucket that they come from. */
static void send_piece(struct fsmoe_gradients *q, size_t n)
{
	fsmoe_graph_t g = q->graph;

	for (int k = 0; k < q->n && n > 0; k++)
	{
		struct fsmoe_gradients_bucket *b = &q->bucket[k];
		const struct fsmoe_bucket *bucket = &g->buckets[b->index];
		const size_t left = b->count - b->sent, now = n < left ? n : left;
		fsmoe_tensor_t part = bucket->grad;

		if (now == 0)
			continue;
		if (now < b->count)
			part = fsmoe_graph_view(g, bucket->grad, b->sent, FSMOE_SHAPE1(now));
		fsmoe_graph_set_layer(g, bucket->layer);
		if (part != FSMOE_NONE)
			fsmoe_allreduce(g, part, bucket->reduce);
		b->sent += now;
		n -= now;
	}
}

/* Sends n elements in equal pieces; the last one takes the remainder. */
static void send(struct fsmoe_gradients *q, size_t n, size_t pieces)
{
	for (; n > 0 && pieces > 0; pieces--)
	{
		const size_t one = pieces > 1 ? n / pieces : n;

		send_piece(q, one);
		n -= one;
	}
}

/* --- how much, and where ------------------------------------------------------------------ */

struct amount
{
	size_t count, pieces;
};

static size_t pieces_of(const struct fsmoe_gradients *q, size_t n)
{
	const double bytes = q->graph->schedule.gradient_bytes;

	return bytes > 0 ? (size_t)fmax(1, ceil(FLOAT * (double)n / bytes)) : 1;
}

/* Without a plan it is unknown what fits where. Gradients that are ready then go
 *   beside-dense  all beside the dense part, as a plan would have it;
 *   fixed         one piece beside the experts, the others beside the dense part;
 *   adaptive      half beside the experts, the rest beside the dense part. */
static struct amount by_rule(const struct fsmoe_gradients *q, enum fsmoe_gap gap, size_t ready)
{
	const struct fsmoe_schedule *row = &q->graph->schedule;
	const int dense = gap == FSMOE_GAP_DENSE;
	size_t n = 0;

	switch (row->gradients)
	{
	case FSMOE_GRADIENTS_BESIDE_DENSE:
		n = dense ? ready : 0;
		break;
	case FSMOE_GRADIENTS_FIXED:
		n = dense ? ready : ready / pieces_of(q, ready);
		return (struct amount){n, dense ? pieces_of(q, n) : 1};
	case FSMOE_GRADIENTS_ADAPTIVE:
		n = dense ? ready : ready / 2;
		break;
	default: /* at the end */
		break;
	}
	return (struct amount){n, 1};
}

static struct amount by_plan(const struct fsmoe_gradients *q, enum fsmoe_gap gap, int layer,
			     size_t ready)
{
	const struct fsmoe_plan_layer *l = &q->plan->layer[layer];
	const struct fsmoe_share *share = gap == FSMOE_GAP_DENSE ? &l->dense : &l->moe;

	if (share->bytes > FLOAT * (uint64_t)ready)
	{
		fsmoe_graph_fail(
			q->graph,
			fsmoe_fail(EINVAL,
				   "the plan exchanges %" PRIu64
				   " bytes of gradients beside the %s of layer %d, but %" PRIu64
				   " are ready by then: make a plan for this model and layout",
				   share->bytes, gap == FSMOE_GAP_DENSE ? "dense part" : "experts",
				   layer, FLOAT * (uint64_t)ready));
		return (struct amount){0, 0};
	}
	return (struct amount){share->bytes / FLOAT, (size_t)share->pieces};
}

static void fill_gap(fsmoe_graph_t g, enum fsmoe_gap gap, int layer, int done, void *arg)
{
	struct fsmoe_gradients *q = arg;
	char *taken = layer < q->layers ? &q->taken[FSMOE_NGAPS * layer + (int)gap] : NULL;
	struct amount amount;

	if (!taken || *taken)
		return;
	*taken = 1;
	amount = q->plan ? by_plan(q, gap, layer, count_ready(q, done))
			 : by_rule(q, gap, count_ready(q, done));
	fsmoe_graph_set_chunk(g, -1);
	fsmoe_graph_set_priority(g, 0);
	send(q, amount.count, amount.pieces);
}

/* --- of a step ---------------------------------------------------------------------------- */

static int count_layers(const struct fsmoe_graph *g, int first)
{
	int layers = 0;

	for (int i = first; i < g->nnodes; i++)
		layers = g->nodes[i].layer >= layers ? g->nodes[i].layer + 1 : layers;
	return layers;
}

int fsmoe_gradients_begin(struct fsmoe_gradients *q, fsmoe_graph_t g, int first,
			  const struct fsmoe_plan *plan)
{
	int err;

	*q = (struct fsmoe_gradients){.graph = g, .plan = plan, .layers = count_layers(g, first)};
	if (g->status)
		return g->status;
	if (plan && plan->layers != q->layers)
		return fsmoe_graph_fail(g, fsmoe_fail(EINVAL,
						      "the plan is of %d layers, the model has %d",
						      plan->layers, q->layers));
	q->bucket = calloc((size_t)g->nbuckets + 1, sizeof(*q->bucket));
	q->taken = calloc(FSMOE_NGAPS * (size_t)q->layers + 1, 1);
	err = q->bucket && q->taken ? make_list(q, first)
				    : fsmoe_fail(ENOMEM, "no memory for the exchange of gradients");
	if (err)
		return fsmoe_graph_fail(g, err);
	g->gap = fill_gap;
	g->gap_arg = q;
	return 0;
}

int fsmoe_gradients_end(struct fsmoe_gradients *q)
{
	fsmoe_graph_t g = q->graph;
	const size_t left = count_ready(q, -1);
	size_t planned = q->plan ? q->plan->tail.bytes / FLOAT : 0;

	g->gap = NULL;
	if (!g->status && planned)
	{
		planned = planned < left ? planned : left;
		send(q, planned, (size_t)q->plan->tail.pieces);
		send(q, left - planned, 1);
	}
	else if (!g->status)
		send(q, left, pieces_of(q, left));
	free(q->bucket);
	free(q->taken);
	*q = (struct fsmoe_gradients){0};
	return g->status;
}
