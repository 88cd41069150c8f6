/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

/* A lane becomes busy or idle. */
struct change
{
	double at;
	int lane, by;
};

static int by_time(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->by - y->by;
}

int fsmoe_timeline_exposed(const struct fsmoe_timeline *tl, fsmoe_graph_t graph, double *seconds)
{
	struct change *change;
	int busy[FSMOE_NLANES] = {0};

	if (tl->n != graph->nnodes)
		return fsmoe_fail(EINVAL, "a timeline of %d nodes is not of this graph of %d",
				  tl->n, graph->nnodes);
	change = malloc((2 * (size_t)tl->n + 1) * sizeof(*change));
	if (!change)
		return fsmoe_fail(ENOMEM, "no memory for a timeline of %d nodes", tl->n);
	for (int i = 0; i < tl->n; i++)
	{
		change[2 * i] = (struct change){tl->start[i], graph->nodes[i].lane, 1};
		change[2 * i + 1] = (struct change){tl->end[i], graph->nodes[i].lane, -1};
	}
	qsort(change, 2 * (size_t)tl->n, sizeof(*change), by_time);
	*seconds = 0;
	for (int i = 0; i < 2 * tl->n; i++)
	{
		if (i > 0 && busy[FSMOE_COMPUTE] == 0 && busy[FSMOE_INTRA] + busy[FSMOE_INTER] > 0)
			*seconds += change[i].at - change[i - 1].at;
		busy[change[i].lane] += change[i].by;
	}
	free(change);
	return 0;
}
