/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/stream_sync.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* Finds the last predecessor of a node on each lane; later: by node, its place in the order. */
static void latest(const struct fsmoe_node *nodes, const int *later, const int *pred, int npred,
		   int last[FSMOE_NLANES])
{
	for (int l = 0; l < FSMOE_NLANES; l++)
		last[l] = -1;
	for (int k = 0; k < npred; k++)
	{
		int *at = &last[nodes[pred[k]].lane];
		if (*at < 0 || later[pred[k]] > later[*at])
			*at = pred[k];
	}
}

static void plan_node(struct fsmoe_stream_sync *waits, const struct fsmoe_node *nodes,
		      const int *later, int i, const int last[FSMOE_NLANES], int seen[FSMOE_NLANES])
{
	for (int l = 0; l < FSMOE_NLANES; l++)
	{
		const int needed =
			l != (int)nodes[i].lane && last[l] >= 0 && later[last[l]] > seen[l];

		waits->on[i][l] = needed ? last[l] : -1;
		if (!needed)
			continue;
		seen[l] = later[last[l]];
		waits->awaited[last[l]] = 1;
	}
}

int fsmoe_stream_sync_plan(struct fsmoe_stream_sync *waits, fsmoe_graph_t graph, const int *order)
{
	int seen[FSMOE_NLANES][FSMOE_NLANES], n, *first = NULL, *pred = NULL, *later, err;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &n);

	*waits = (struct fsmoe_stream_sync){.on = calloc((size_t)n + 1, sizeof(*waits->on)),
					    .awaited = calloc((size_t)n + 1, 1)};
	later = calloc((size_t)n + 1, sizeof(*later));
	err = waits->on && waits->awaited && later
		      ? fsmoe_graph_edges(graph, &first, &pred)
		      : fsmoe_fail(ENOMEM, "no memory for a graph's edges");
	if (err)
	{
		free(later);
		fsmoe_stream_sync_free(waits);
		return err;
	}
	memset(seen, -1, sizeof(seen));
	for (int k = 0; k < n; k++)
		later[order ? order[k] : k] = k;
	for (int k = 0; k < n; k++)
	{
		const int i = order ? order[k] : k;
		int last[FSMOE_NLANES];

		latest(nodes, later, pred + first[i], first[i + 1] - first[i], last);
		plan_node(waits, nodes, later, i, last, seen[nodes[i].lane]);
	}
	free(later);
	free(first);
	free(pred);
	return 0;
}

/* --- what fills gaps ------------------------------------------------------------------------ */

struct filling
{
	const struct fsmoe_node *nodes;
	int n, *first, *pred;
	int *order, placed; /* so far */
	char *done;         /* by node: it has its place */
};

static void place(struct filling *f, int i)
{
	f->order[f->placed++] = i;
	f->done[i] = 1;
}

static int may_go(const struct filling *f, int i)
{
	for (int k = f->first[i]; k < f->first[i + 1]; k++)
		if (!f->done[f->pred[k]])
			return 0;
	return 1;
}

/* On the compute lane, after a communication. */
static int waits_for_lanes(const struct filling *f, int i)
{
	for (int k = f->first[i]; f->nodes[i].lane == FSMOE_COMPUTE && k < f->first[i + 1]; k++)
		if (f->nodes[f->pred[k]].lane != FSMOE_COMPUTE)
			return 1;
	return 0;
}

static int fills(const struct filling *f, int i)
{
	return f->nodes[i].lane == FSMOE_COMPUTE && f->nodes[i].priority < 0;
}

/* Node i, and before it, where it may have to wait, what can run meanwhile. */
static void place_with_fillers(struct filling *f, int i, int *next)
{
	if (!fills(f, i) && waits_for_lanes(f, i))
		for (int k = *next; k < f->n; k++)
			if (fills(f, k) && !f->done[k])
			{
				if (!may_go(f, k))
					break;
				place(f, k);
			}
	place(f, i);
}

int fsmoe_stream_sync_order(int **order, fsmoe_graph_t graph)
{
	struct filling f = {0};
	int next = 0, err;

	f.nodes = fsmoe_graph_nodes(graph, &f.n);
	f.order = calloc((size_t)f.n + 1, sizeof(*f.order));
	f.done = calloc((size_t)f.n + 1, 1);
	err = f.order && f.done ? fsmoe_graph_edges(graph, &f.first, &f.pred)
				: fsmoe_fail(ENOMEM, "no memory for an order of nodes");
	for (int i = 0; i < f.n && !err; i++)
	{
		while (next < f.n && (f.done[next] || !fills(&f, next)))
			next++;
		if (!f.done[i])
			place_with_fillers(&f, i, &next);
	}
	free(f.first);
	free(f.pred);
	free(f.done);
	if (err)
		free(f.order);
	else
		*order = f.order;
	return err;
}

void fsmoe_stream_sync_free(struct fsmoe_stream_sync *waits)
{
	free(waits->on);
	free(waits->awaited);
	*waits = (struct fsmoe_stream_sync){0};
}
