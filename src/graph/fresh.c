/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/fresh.h"
#include "graph/basic.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

struct search
{
	const struct fsmoe_graph *g;
	enum fsmoe_real real;
	struct fsmoe_fresh *fresh;
	struct fsmoe_fresh_part *touched; /* of the tensor at hand, since it was set to zero */
	int ntouched, room;
};

static int sets_zero(const struct search *s, const struct fsmoe_node *node)
{
	return node->op == &fsmoe_op_fill && fsmoe_cuda_kernel(node->op, s->real) &&
	       ((const struct fsmoe_fill_args *)node->args)->value == 0;
}

static struct fsmoe_fresh_part span_of(const struct fsmoe_tensor_info *t)
{
	return (struct fsmoe_fresh_part){t->offset, fsmoe_shape_count(&t->shape)};
}

static int overlap(struct fsmoe_fresh_part a, struct fsmoe_fresh_part b)
{
	return a.at < b.at + b.n && b.at < a.at + a.n;
}

static int push(struct fsmoe_fresh_part **list, int *n, int *room, struct fsmoe_fresh_part span)
{
	if (*n == *room)
	{
		int more = 2 * *room + 4;
		void *at = realloc(*list, (size_t)more * sizeof(**list));
		if (!at)
			return fsmoe_fail(ENOMEM, "no memory for a graph's gradients");
		*list = at;
		*room = more;
	}
	(*list)[(*n)++] = span;
	return 0;
}

/* Nobody has touched it since, it lies in what is set to zero, and the kernel can write. */
static int is_fresh(const struct search *s, const struct fsmoe_node *node, int access,
		    struct fsmoe_fresh_part whole, struct fsmoe_fresh_part span)
{
	const struct fsmoe_access *a = &node->access[access];

	if (!fsmoe_cuda_kernel(node->op, s->real) ||
	    !(node->op->ports[a->port].flags & FSMOE_FRESH) || span.at < whole.at ||
	    span.at + span.n > whole.at + whole.n)
		return 0;
	for (int i = 0; i < s->ntouched; i++)
		if (overlap(s->touched[i], span))
			return 0;
	return 1;
}

static int mark(struct search *s, int zero, int writer, int access, struct fsmoe_fresh_part span)
{
	struct fsmoe_fresh_node *z = &s->fresh->node[zero], *w = &s->fresh->node[writer];
	int room = z->nskip, i = 0;

	if (!w->access)
		w->access = calloc((size_t)s->g->nodes[writer].naccess + 1, 1);
	if (!w->access)
		return fsmoe_fail(ENOMEM, "no memory for a graph's gradients");
	w->access[access] = 1;
	if (push(&z->skip, &z->nskip, &room, span))
		return -ENOMEM;
	for (i = z->nskip - 1; i > 0 && z->skip[i - 1].at > span.at; i--)
		z->skip[i] = z->skip[i - 1];
	z->skip[i] = span;
	return 0;
}

/* Who comes after node `zero` to what it sets. */
static int follow(struct search *s, int zero)
{
	const struct fsmoe_graph *g = s->g;
	const struct fsmoe_tensor_info *t = &g->tensors[g->nodes[zero].access[0].tensor];
	const struct fsmoe_fresh_part whole = span_of(t);
	int err = 0;

	s->ntouched = 0;
	for (int i = zero + 1; i < g->nnodes && !err; i++)
		for (int k = 0; k < g->nodes[i].naccess && !err; k++)
		{
			fsmoe_tensor_t other = g->nodes[i].access[k].tensor;
			if (other == FSMOE_NONE || g->tensors[other].base != t->base)
				continue;
			struct fsmoe_fresh_part span = span_of(&g->tensors[other]);
			if (is_fresh(s, &g->nodes[i], k, whole, span))
				err = mark(s, zero, i, k, span);
			if (!err)
				err = push(&s->touched, &s->ntouched, &s->room, span);
			/* Set again, or read as one: nothing is left to find. */
			if (span.at <= whole.at && span.at + span.n >= whole.at + whole.n)
				return err;
		}
	return err;
}

int fsmoe_fresh_find(struct fsmoe_fresh *fresh, fsmoe_graph_t graph, enum fsmoe_real real)
{
	struct search s = {.g = graph, .real = real, .fresh = fresh};
	int err = 0;

	*fresh = (struct fsmoe_fresh){calloc((size_t)graph->nnodes + 1, sizeof(*fresh->node)),
				      graph->nnodes};
	if (!fresh->node)
		return fsmoe_fail(ENOMEM, "no memory for a graph's gradients");
	for (int i = 0; i < graph->nnodes && !err; i++)
		if (sets_zero(&s, &graph->nodes[i]))
			err = follow(&s, i);
	free(s.touched);
	if (err)
		fsmoe_fresh_free(fresh);
	return err;
}

void fsmoe_fresh_free(struct fsmoe_fresh *fresh)
{
	for (int i = 0; fresh->node && i < fresh->n; i++)
	{
		free(fresh->node[i].access);
		free(fresh->node[i].skip);
	}
	free(fresh->node);
	*fresh = (struct fsmoe_fresh){0};
}
