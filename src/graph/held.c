/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

struct place
{
	int node;
	enum fsmoe_lane lane;
	double start;
};

static int in_turn(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->lane != y->lane)
		return x->lane < y->lane ? -1 : 1;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->node - y->node;
}

int fsmoe_timeline_held(const struct fsmoe_timeline *tl, fsmoe_graph_t graph, double *seconds)
{
	struct place *place;
	double free_at = 0;

	if (tl->n != graph->nnodes)
		return fsmoe_fail(EINVAL, "a timeline of %d nodes is not of this graph of %d",
				  tl->n, graph->nnodes);
	place = malloc(((size_t)tl->n + 1) * sizeof(*place));
	if (!place)
		return fsmoe_fail(ENOMEM, "no memory for a timeline of %d nodes", tl->n);
	for (int i = 0; i < tl->n; i++)
		place[i] = (struct place){i, graph->nodes[i].lane, tl->start[i]};
	qsort(place, (size_t)tl->n, sizeof(*place), in_turn);
	for (int i = 0; i < tl->n; i++)
	{
		const int node = place[i].node;
		double from = tl->ready[node];

		if (i > 0 && place[i - 1].lane == place[i].lane)
			from = fmax(from, free_at);
		seconds[node] = tl->end[node] - fmin(from, tl->start[node]);
		free_at = tl->end[node];
	}
	free(place);
	return 0;
}
