/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* What happened last to one base tensor. */
struct history
{
	int writer; /* -1: nobody yet */
	int *readers;
	int nreaders, room;
};

struct edges
{
	int *first, *pred;
	int n, room;
};

static int push(int **array, int *n, int *room, int value)
{
	if (*n == *room)
	{
		int more = *room ? 2 * *room : 16;
		int *p = realloc(*array, (size_t)more * sizeof(int));
		if (!p)
			return fsmoe_fail(ENOMEM, "no memory for a graph's edges");
		*array = p;
		*room = more;
	}
	(*array)[(*n)++] = value;
	return 0;
}

static int ascending(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int add_access(struct edges *e, struct history *h, int node, int mode)
{
	int err = 0;

	if (mode & FSMOE_W)
	{
		for (int i = 0; i < h->nreaders && !err; i++)
			if (h->readers[i] != node)
				err = push(&e->pred, &e->n, &e->room, h->readers[i]);
		/* Readers already come after the writer. */
		if (h->writer >= 0 && h->nreaders == 0 && !err)
			err = push(&e->pred, &e->n, &e->room, h->writer);
		h->writer = node;
		h->nreaders = 0;
		return err;
	}
	if (h->writer >= 0)
		err = push(&e->pred, &e->n, &e->room, h->writer);
	return err ? err : push(&h->readers, &h->nreaders, &h->room, node);
}

static void sort_unique(struct edges *e, int from)
{
	int kept = from;

	qsort(e->pred + from, (size_t)(e->n - from), sizeof(int), ascending);
	for (int i = from; i < e->n; i++)
		if (kept == from || e->pred[kept - 1] != e->pred[i])
			e->pred[kept++] = e->pred[i];
	e->n = kept;
}

int fsmoe_graph_edges(fsmoe_graph_t g, int **first, int **pred)
{
	struct edges e = {.first = malloc(((size_t)g->nnodes + 1) * sizeof(int))};
	struct history *history = calloc((size_t)g->ntensors + 1, sizeof(*history));
	int err = e.first && history ? 0 : fsmoe_fail(ENOMEM, "no memory for a graph's edges");

	for (int t = 0; history && t < g->ntensors; t++)
		history[t].writer = -1;
	for (int i = 0; i < g->nnodes && !err; i++)
	{
		const struct fsmoe_node *node = &g->nodes[i];
		fsmoe_tensor_t base[node->naccess + 1];
		int mode[node->naccess + 1], n = fsmoe_node_bases(g, node, base, mode);

		e.first[i] = e.n;
		for (int k = 0; k < n && !err; k++)
			err = add_access(&e, &history[base[k]], i, mode[k]);
		if (!err && e.n > e.first[i])
			sort_unique(&e, e.first[i]);
	}
	for (int t = 0; history && t < g->ntensors; t++)
		free(history[t].readers);
	free(history);
	if (err)
	{
		free(e.first);
		free(e.pred);
		return err;
	}
	e.first[g->nnodes] = e.n;
	*first = e.first;
	*pred = e.pred ? e.pred : calloc(1, sizeof(int));
	return 0;
}
