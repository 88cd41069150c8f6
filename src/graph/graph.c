/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

struct arena_block
{
	struct arena_block *next;
	size_t used, size;
	max_align_t data[];
};

int fsmoe_graph_create(fsmoe_graph_t *graph, fsmoe_groups_t groups)
{
	struct fsmoe_graph *g = calloc(1, sizeof(*g));

	if (!g)
		return fsmoe_fail(ENOMEM, "no memory for a graph");
	g->groups = groups;
	g->schedule = *fsmoe_schedule_default();
	g->open_region = -1;
	g->labels = (struct fsmoe_labels){.layer = -1, .micro_batch = -1, .chunk = -1};
	*graph = g;
	return 0;
}

void fsmoe_graph_destroy(fsmoe_graph_t g)
{
	if (!g)
		return;
	while (g->arena)
	{
		struct arena_block *next = g->arena->next;
		free(g->arena);
		g->arena = next;
	}
	free(g->tensors);
	free(g->nodes);
	free(g->params);
	free(g->buckets);
	free(g->regions);
	free(g->losses);
	free(g->cuts);
	free(g);
}

int fsmoe_graph_fail(fsmoe_graph_t g, int status)
{
	if (!g->status)
	{
		g->status = status;
		strncpy(g->sentence, fsmoe_last_error(), sizeof(g->sentence) - 1);
	}
	return g->status;
}

int fsmoe_graph_status(fsmoe_graph_t g)
{
	return g->status ? fsmoe_fail(-g->status, "%s", g->sentence) : 0;
}

fsmoe_groups_t fsmoe_graph_groups(fsmoe_graph_t g)
{
	return g->groups;
}

/* --- layout in time ----------------------------------------------------------------------- */

int fsmoe_graph_set_schedule(fsmoe_graph_t g, const struct fsmoe_schedule *schedule)
{
	int err = fsmoe_schedule_check(schedule);

	if (!err && g->nnodes > 0)
		err = fsmoe_fail(EINVAL,
				 "the graph has %d nodes already: set the schedule '%s' before the "
				 "first",
				 g->nnodes, schedule->name);
	if (err)
		return fsmoe_graph_fail(g, err);
	g->schedule = *schedule;
	return 0;
}

const struct fsmoe_schedule *fsmoe_graph_schedule(fsmoe_graph_t g)
{
	return &g->schedule;
}

struct fsmoe_layer_cuts *fsmoe_graph_cuts(fsmoe_graph_t g, int layer)
{
	struct fsmoe_layer_cuts *more;

	if (layer < 0)
		return NULL;
	if (layer >= g->ncuts)
	{
		more = realloc(g->cuts, ((size_t)layer + 1) * sizeof(*more));
		if (!more)
		{
			fsmoe_graph_fail(g, fsmoe_fail(ENOMEM, "no memory for a larger graph"));
			return NULL;
		}
		memset(more + g->ncuts, 0, (size_t)(layer + 1 - g->ncuts) * sizeof(*more));
		g->cuts = more;
		g->ncuts = layer + 1;
	}
	return &g->cuts[layer];
}

int fsmoe_graph_set_degrees(fsmoe_graph_t g, int layer, int forward, int backward)
{
	struct fsmoe_layer_cuts *cuts;

	if (layer < 0 || forward < 0 || backward < 0)
		return fsmoe_graph_fail(
			g, fsmoe_fail(EINVAL, "layer %d cannot be cut into %d and %d chunks", layer,
				      forward, backward));
	cuts = fsmoe_graph_cuts(g, layer);
	if (!cuts)
		return g->status;
	cuts->forward = forward;
	cuts->backward = backward;
	return 0;
}

/* --- memory that lives as long ------------------------------------------------------------ */

void *fsmoe_graph_alloc(fsmoe_graph_t g, size_t size)
{
	enum
	{
		BLOCK = 64 * 1024
	};
	struct arena_block *b = g->arena;
	void *p;

	size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (!b || b->size - b->used < size)
	{
		size_t room = size > BLOCK ? size : BLOCK;
		b = malloc(sizeof(*b) + room);
		if (!b)
		{
			fsmoe_graph_fail(g, fsmoe_fail(ENOMEM, "no memory for a larger graph"));
			return NULL;
		}
		*b = (struct arena_block){.next = g->arena, .size = room};
		g->arena = b;
	}
	p = (char *)b->data + b->used;
	b->used += size;
	return p;
}

void *fsmoe_graph_copy(fsmoe_graph_t g, const void *data, size_t size)
{
	void *p = fsmoe_graph_alloc(g, size);

	if (p && size)
		memcpy(p, data, size);
	return p;
}

int fsmoe_graph_grow(fsmoe_graph_t g, void **array, int count, int *room, size_t size)
{
	if (count < *room)
		return 0;

	int more = *room ? 2 * *room : 64;
	void *p = realloc(*array, (size_t)more * size);
	if (!p)
		return fsmoe_graph_fail(g, fsmoe_fail(ENOMEM, "no memory for a larger graph"));
	*array = p;
	*room = more;
	return 0;
}

void fsmoe_graph_set_layer(fsmoe_graph_t g, int layer)
{
	g->labels.layer = layer;
}

void fsmoe_graph_set_micro_batch(fsmoe_graph_t g, int micro_batch)
{
	g->labels.micro_batch = micro_batch;
}

void fsmoe_graph_set_chunk(fsmoe_graph_t g, int chunk)
{
	g->labels.chunk = chunk;
}

void fsmoe_graph_set_phase(fsmoe_graph_t g, enum fsmoe_phase phase)
{
	g->labels.phase = phase;
}

void fsmoe_graph_set_priority(fsmoe_graph_t g, int priority)
{
	g->labels.priority = priority;
}

const struct fsmoe_node *fsmoe_graph_nodes(fsmoe_graph_t g, int *n)
{
	*n = g->nnodes;
	return g->nodes;
}

const struct fsmoe_tensor_info *fsmoe_graph_tensors(fsmoe_graph_t g, int *n)
{
	*n = g->ntensors;
	return g->tensors;
}

const struct fsmoe_param *fsmoe_graph_params(fsmoe_graph_t g, int *n)
{
	*n = g->nparams;
	return g->params;
}

void fsmoe_graph_region_begin(fsmoe_graph_t g, const char *name)
{
	if (g->status)
		return;
	if (g->open_region >= 0)
	{
		fsmoe_graph_fail(
			g, fsmoe_fail(EINVAL,
				      "region '%s' begins inside region '%s'; regions do not nest",
				      name, g->regions[g->open_region].name));
		return;
	}
	if (fsmoe_graph_grow(g, (void **)&g->regions, g->nregions, &g->regions_room,
			     sizeof(*g->regions)))
		return;
	g->open_region = g->nregions++;
	g->regions[g->open_region] =
		(struct fsmoe_region){.name = fsmoe_graph_copy(g, name, strlen(name) + 1),
				      .first = g->nnodes,
				      .last = -1};
}

void fsmoe_graph_region_end(fsmoe_graph_t g, fsmoe_region_grad_fn grad, const void *args,
			    size_t args_size)
{
	struct fsmoe_region *r;

	if (g->status)
		return;
	if (g->open_region < 0)
	{
		fsmoe_graph_fail(g, fsmoe_fail(EINVAL, "a region ends that was not begun"));
		return;
	}
	r = &g->regions[g->open_region];
	r->last = g->nnodes - 1;
	r->grad = grad;
	r->args = fsmoe_graph_copy(g, args, args_size);
	g->open_region = -1;
}
