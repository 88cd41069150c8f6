/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/basic.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* Gradients that have arrived at one tensor, in order of arrival. */
struct gifts
{
	fsmoe_tensor_t *tensor;
	int n, room;
	fsmoe_tensor_t sum; /* once asked for; FSMOE_NONE before */
};

struct fsmoe_backward
{
	fsmoe_graph_t graph;
	int ntensors; /* those of the forward */
	int done;     /* forward nodes after this one are differentiated */
	int layer;    /* of what is differentiated now */
	char *wants;  /* by tensor: a gradient of it is of use */
	struct gifts *gifts;
};

fsmoe_graph_t fsmoe_backward_graph(struct fsmoe_backward *b)
{
	return b->graph;
}

/* Gradients are kept by base. A view that is the whole of its base is the base. */
static fsmoe_tensor_t key_of(struct fsmoe_backward *b, fsmoe_tensor_t t)
{
	const struct fsmoe_tensor_info *info = b->graph->tensors;

	if (t == FSMOE_NONE || t >= b->ntensors)
		return FSMOE_NONE;
	if (info[t].base == t || info[t].role == FSMOE_PARAM)
		return t;
	if (fsmoe_shape_count(&info[t].shape) == fsmoe_shape_count(&info[info[t].base].shape))
		return info[t].base;
	return FSMOE_NONE;
}

int fsmoe_backward_wants(struct fsmoe_backward *b, fsmoe_tensor_t input)
{
	return input != FSMOE_NONE && input < b->ntensors &&
	       b->wants[b->graph->tensors[input].base];
}

fsmoe_tensor_t fsmoe_backward_param(struct fsmoe_backward *b, fsmoe_tensor_t param)
{
	return param == FSMOE_NONE || b->graph->status ? FSMOE_NONE : b->graph->tensors[param].grad;
}

void fsmoe_backward_give(struct fsmoe_backward *b, fsmoe_tensor_t input, fsmoe_tensor_t gradient)
{
	fsmoe_tensor_t key = key_of(b, input);
	struct gifts *g;

	if (b->graph->status)
		return;
	if (key == FSMOE_NONE)
	{
		fsmoe_graph_fail(
			b->graph,
			fsmoe_fail(EINVAL, "a gradient was given to '%s', a part of another tensor",
				   b->graph->tensors[input].name));
		return;
	}
	/* A parameter that an operation takes for an activation: its gradient accumulates. */
	if (b->graph->tensors[input].role == FSMOE_PARAM)
	{
		fsmoe_accumulate(b->graph, gradient, fsmoe_backward_param(b, input));
		return;
	}
	g = &b->gifts[key];
	if (!fsmoe_graph_grow(b->graph, (void **)&g->tensor, g->n, &g->room, sizeof(*g->tensor)))
		g->tensor[g->n++] = gradient;
}

fsmoe_tensor_t fsmoe_backward_out(struct fsmoe_backward *b, fsmoe_tensor_t output)
{
	fsmoe_tensor_t key = key_of(b, output);
	struct gifts *g;

	if (key == FSMOE_NONE || b->graph->status)
		return FSMOE_NONE;
	g = &b->gifts[key];
	if (g->n == 0)
		return FSMOE_NONE;
	if (g->sum == FSMOE_NONE)
		g->sum = g->n == 1 ? g->tensor[0] : fsmoe_sum(b->graph, g->tensor, g->n);
	return g->sum;
}

static const struct fsmoe_region *region_of(const struct fsmoe_graph *g, int node)
{
	for (int i = 0; i < g->nregions; i++)
		if (node >= g->regions[i].first && node <= g->regions[i].last)
			return &g->regions[i];
	return NULL;
}

/* A tensor wants a gradient if it is a parameter or is computed from one by operations that
 * can be differentiated. */
static void find_wants(struct fsmoe_backward *b)
{
	const struct fsmoe_graph *g = b->graph;

	for (int t = 0; t < b->ntensors; t++)
		b->wants[t] = g->tensors[t].role == FSMOE_PARAM;
	for (int i = 0; i < g->nnodes; i++)
	{
		const struct fsmoe_node *node = &g->nodes[i];
		int wanted = 0;
		if (node->phase != FSMOE_FORWARD || (!node->op->grad && !region_of(g, i)))
			continue;
		for (int k = 0; k < node->naccess; k++)
			if ((node->access[k].mode & FSMOE_R) &&
			    node->access[k].tensor != FSMOE_NONE)
				wanted |= b->wants[g->tensors[node->access[k].tensor].base];
		for (int k = 0; wanted && k < node->naccess; k++)
			if ((node->access[k].mode & FSMOE_W) &&
			    node->access[k].tensor != FSMOE_NONE &&
			    g->tensors[node->access[k].tensor].dtype != FSMOE_INT32)
				b->wants[g->tensors[node->access[k].tensor].base] = 1;
	}
}

static int reached(struct fsmoe_backward *b, const struct fsmoe_node *node)
{
	for (int k = 0; k < node->naccess; k++)
	{
		fsmoe_tensor_t key = key_of(b, node->access[k].tensor);
		if ((node->access[k].mode & FSMOE_W) && key != FSMOE_NONE && b->gifts[key].n)
			return 1;
	}
	return 0;
}

static void offer(struct fsmoe_backward *b, enum fsmoe_gap gap)
{
	struct fsmoe_graph *g = b->graph;
	const struct fsmoe_labels labels = g->labels;

	if (g->gap && !g->status && b->layer >= 0)
		g->gap(g, gap, b->layer, b->done, g->gap_arg);
	g->labels = labels;
}

void fsmoe_backward_gap(struct fsmoe_backward *b)
{
	offer(b, FSMOE_GAP_EXPERTS);
}

/* Whether what was appended from `first` on communicates. */
static int communicates(const struct fsmoe_graph *g, int first)
{
	for (int i = first; i < g->nnodes; i++)
		if (g->nodes[i].lane != FSMOE_COMPUTE)
			return 1;
	return 0;
}

/* One node that a gradient has reached, or a whole region. */
static int differentiate(struct fsmoe_backward *b, int i, const struct fsmoe_region *r)
{
	struct fsmoe_graph *g = b->graph;
	const struct fsmoe_node node = g->nodes[i];
	int before, err = 0;

	if (node.layer != b->layer)
		offer(b, FSMOE_GAP_DENSE);
	b->layer = node.layer;
	b->done = i;
	g->labels = (struct fsmoe_labels){.layer = node.layer,
					  .micro_batch = node.micro_batch,
					  .chunk = -1,
					  .priority = node.priority,
					  .phase = FSMOE_BACKWARD};
	if (r)
		return r->grad(b, r->args);
	before = g->nnodes;
	if (node.op->grad)
		err = node.op->grad(b, &node);
	if (!err && communicates(g, before))
		offer(b, FSMOE_GAP_DENSE);
	return err;
}

static int walk(struct fsmoe_backward *b)
{
	struct fsmoe_graph *g = b->graph;

	for (int i = g->nnodes - 1; i >= 0 && !g->status; i--)
	{
		const struct fsmoe_region *r = region_of(g, i);
		const int last = i;
		int err = 0, hit = 0;

		if (g->nodes[i].phase != FSMOE_FORWARD)
			continue;
		i = r ? r->first : i;
		for (int k = i; k <= last; k++)
			hit |= reached(b, &g->nodes[k]);
		if (hit)
			err = differentiate(b, last, r);
		if (err)
			fsmoe_graph_fail(g, err);
	}
	offer(b, FSMOE_GAP_DENSE);
	return g->status;
}

void fsmoe_graph_add_loss(fsmoe_graph_t g, fsmoe_tensor_t loss)
{
	if (g->status)
		return;
	if (loss == FSMOE_NONE || fsmoe_shape_count(&g->tensors[loss].shape) != 1)
		fsmoe_graph_fail(g, fsmoe_fail(EINVAL, "a loss is a tensor of one element"));
	else if (!fsmoe_graph_grow(g, (void **)&g->losses, g->nlosses, &g->losses_room,
				   sizeof(*g->losses)))
		g->losses[g->nlosses++] = loss;
}

const fsmoe_tensor_t *fsmoe_graph_losses(fsmoe_graph_t g, int *n)
{
	*n = g->nlosses;
	return g->losses;
}

int fsmoe_graph_backward(fsmoe_graph_t g, fsmoe_tensor_t loss)
{
	struct fsmoe_labels labels = g->labels;
	struct fsmoe_backward b = {.graph = g, .ntensors = g->ntensors, .layer = -1};

	if (g->status)
		return fsmoe_graph_status(g);
	if (loss == FSMOE_NONE || fsmoe_shape_count(&g->tensors[loss].shape) != 1)
		return fsmoe_graph_fail(g, fsmoe_fail(EINVAL, "a loss is a tensor of one element"));
	b.wants = calloc((size_t)b.ntensors, 1);
	b.gifts = calloc((size_t)b.ntensors, sizeof(*b.gifts));
	if (b.wants && b.gifts)
	{
		for (int t = 0; t < b.ntensors; t++)
			b.gifts[t].sum = FSMOE_NONE;
		find_wants(&b);
		g->labels.phase = FSMOE_BACKWARD;
		fsmoe_tensor_t one = fsmoe_graph_like(g, loss, "d.");
		fsmoe_fill_with(g, one, 1.0);
		fsmoe_backward_give(&b, loss, one);
		while (g->losses_done < g->nlosses)
			fsmoe_backward_give(&b, g->losses[g->losses_done++], one);
		walk(&b);
		for (int t = 0; t < b.ntensors; t++)
			free(b.gifts[t].tensor);
	}
	else
		fsmoe_graph_fail(g, fsmoe_fail(ENOMEM, "no memory to differentiate a graph"));
	free(b.gifts);
	free(b.wants);
	g->labels = labels;
	return fsmoe_graph_status(g);
}
