/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/*
 * An event simulation of the lanes: the same rules as the StarPU policy's. A compute node starts
 * when its predecessors have ended and a place is free, highest priority first, then program
 * order; a communication node also waits for its number.
 */

/* A binary heap of nodes, least first by (key, id). */
struct heap
{
	int *node;
	int n;
	const double *key;
};

static int less(const struct heap *h, int a, int b)
{
	return h->key[a] < h->key[b] || (h->key[a] == h->key[b] && a < b);
}

static void heap_push(struct heap *h, int node)
{
	int i = h->n++;

	for (; i > 0 && less(h, node, h->node[(i - 1) / 2]); i = (i - 1) / 2)
		h->node[i] = h->node[(i - 1) / 2];
	h->node[i] = node;
}

static int heap_pop(struct heap *h)
{
	int top = h->node[0], last = h->node[--h->n], i = 0;

	for (;;)
	{
		int child = 2 * i + 1;
		if (child >= h->n)
			break;
		if (child + 1 < h->n && less(h, h->node[child + 1], h->node[child]))
			child++;
		if (!less(h, h->node[child], last))
			break;
		h->node[i] = h->node[child];
		i = child;
	}
	h->node[i] = last;
	return top;
}

struct simulation
{
	const struct fsmoe_graph *g;
	int *first, *pred;              /* edges */
	int *succ_first, *succ, *waits; /* the same turned round; predecessors not ended */
	double *rank;                   /* what ready nodes are sorted by */
	struct heap ready[FSMOE_NLANES], running;
	int free[FSMOE_NLANES], next_seq[FSMOE_NLANES];
	struct fsmoe_timeline *tl;
	double (*seconds)(const struct fsmoe_node *node, void *arg);
	void *arg;
};

static void start_ready(struct simulation *s, double now)
{
	for (int lane = 0; lane < FSMOE_NLANES; lane++)
		while (s->free[lane] > 0 && s->ready[lane].n > 0)
		{
			const struct fsmoe_node *node = &s->g->nodes[s->ready[lane].node[0]];
			double length;

			if (node->seq >= 0 && node->seq != s->next_seq[lane])
				break;
			heap_pop(&s->ready[lane]);
			length = s->seconds(node, s->arg);
			s->next_seq[lane] += node->seq >= 0;
			s->free[lane]--;
			s->tl->start[node->id] = now;
			s->tl->end[node->id] = now + length;
			s->tl->busy[lane] += length;
			heap_push(&s->running, node->id);
		}
}

static int run(struct simulation *s)
{
	int done = 0;
	double now = 0;

	for (int i = 0; i < s->g->nnodes; i++)
		if (s->waits[i] == 0)
			heap_push(&s->ready[s->g->nodes[i].lane], i);
	start_ready(s, now);
	while (s->running.n > 0)
	{
		int node = heap_pop(&s->running);
		now = s->tl->end[node];
		s->free[s->g->nodes[node].lane]++;
		done++;
		for (int k = s->succ_first[node]; k < s->succ_first[node + 1]; k++)
			if (--s->waits[s->succ[k]] == 0)
			{
				s->tl->ready[s->succ[k]] = now;
				heap_push(&s->ready[s->g->nodes[s->succ[k]].lane], s->succ[k]);
			}
		/* All that ends at this moment has ended before anything is chosen. */
		if (s->running.n == 0 || s->tl->end[s->running.node[0]] > now)
			start_ready(s, now);
	}
	s->tl->makespan = now;
	return done == s->g->nnodes ? 0
				    : fsmoe_fail(EINVAL, "%d of %d nodes wait for each other",
						 s->g->nnodes - done, s->g->nnodes);
}

static void turn_edges(struct simulation *s)
{
	int n = s->g->nnodes;

	for (int k = 0; k < s->first[n]; k++)
		s->succ_first[s->pred[k] + 1]++;
	for (int i = 0; i < n; i++)
		s->succ_first[i + 1] += s->succ_first[i];
	int *at = s->running.node; /* not in use yet */
	memcpy(at, s->succ_first, (size_t)n * sizeof(int));
	for (int i = 0; i < n; i++)
	{
		s->waits[i] = s->first[i + 1] - s->first[i];
		for (int k = s->first[i]; k < s->first[i + 1]; k++)
			s->succ[at[s->pred[k]]++] = i;
	}
}

static int prepare(struct simulation *s, const int *capacity)
{
	size_t n = (size_t)s->g->nnodes + 2;
	int ok;

	s->succ_first = calloc(n, sizeof(int));
	s->succ = calloc((size_t)s->first[s->g->nnodes] + 1, sizeof(int));
	s->waits = calloc(n, sizeof(int));
	s->rank = calloc(n, sizeof(double));
	s->running = (struct heap){.node = calloc(n, sizeof(int)), .key = s->tl->end};
	ok = s->succ_first && s->succ && s->waits && s->rank && s->running.node;
	for (int lane = 0; lane < FSMOE_NLANES; lane++)
	{
		s->ready[lane] = (struct heap){.node = calloc(n, sizeof(int)), .key = s->rank};
		s->free[lane] = capacity && capacity[lane] > 0 ? capacity[lane] : 1;
		ok = ok && s->ready[lane].node;
	}
	if (!ok)
		return fsmoe_fail(ENOMEM, "no memory to simulate a graph of %d nodes",
				  s->g->nnodes);
	for (int i = 0; i < s->g->nnodes; i++)
		s->rank[i] = s->g->nodes[i].seq >= 0 ? s->g->nodes[i].seq
						     : -(double)s->g->nodes[i].priority;
	turn_edges(s);
	return 0;
}

static int timeline_create(struct fsmoe_timeline *tl, int n)
{
	*tl = (struct fsmoe_timeline){.n = n,
				      .ready = calloc((size_t)n + 1, sizeof(double)),
				      .start = calloc((size_t)n + 1, sizeof(double)),
				      .end = calloc((size_t)n + 1, sizeof(double))};
	return tl->ready && tl->start && tl->end
		       ? 0
		       : fsmoe_fail(ENOMEM, "no memory for a timeline of %d nodes", n);
}

void fsmoe_timeline_destroy(struct fsmoe_timeline *tl)
{
	if (!tl)
		return;
	free(tl->ready);
	free(tl->start);
	free(tl->end);
	free(tl->submitted);
	*tl = (struct fsmoe_timeline){0};
}

int fsmoe_graph_simulate(fsmoe_graph_t g,
			 double (*seconds)(const struct fsmoe_node *node, void *arg), void *arg,
			 const int *capacity, struct fsmoe_timeline *timeline)
{
	struct fsmoe_timeline tl;
	struct simulation s = {.g = g, .seconds = seconds, .arg = arg, .tl = &tl};
	int err = fsmoe_graph_status(g);

	if (!err)
		err = timeline_create(&tl, g->nnodes);
	if (err)
		return err;
	err = fsmoe_graph_edges(g, &s.first, &s.pred);
	if (!err)
		err = prepare(&s, capacity);
	if (!err)
		err = run(&s);
	free(s.first);
	free(s.pred);
	free(s.succ_first);
	free(s.succ);
	free(s.waits);
	free(s.rank);
	free(s.running.node);
	for (int lane = 0; lane < FSMOE_NLANES; lane++)
		free(s.ready[lane].node);
	if (err)
		fsmoe_timeline_destroy(&tl);
	else
		*timeline = tl;
	return err;
}
