/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/symmetric.h"

#include "base/hash.h"
#include "codelets/collective.h"
#include "codelets/rows.h"
#include "graph/memory.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

enum
{
	ALIGNMENT = 512
};
_Static_assert(ALIGNMENT % (FSMOE_NUMBERS * sizeof(float)) == 0,
	       "a buffer's last element would reach its neighbour");

static size_t outer_of(const void *args)
{
	return ((const struct fsmoe_collective_args *)args)->outer;
}

static size_t outer_of_rows(const void *args)
{
	return ((const struct fsmoe_rows_args *)args)->outer;
}

/* Operations that copy engines can carry, their two accesses, and their `outer` (1 is carried). */
static const struct carried
{
	const struct fsmoe_op *op;
	int from, to;
	size_t (*outer)(const void *args); /* NULL: once */
} table[] = {
	{&fsmoe_op_alltoall, 0, 1, outer_of},
	{&fsmoe_op_alltoall_rows, 0, 3, outer_of_rows},
	{&fsmoe_op_allgather, 0, 1, NULL},
	{&fsmoe_op_allgather_rows, 0, 3, NULL},
};

static const struct carried *find(const struct fsmoe_node *node)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].op == node->op)
			return table[i].outer && table[i].outer(node->args) != 1 ? NULL : &table[i];
	return NULL;
}

struct walk
{
	struct fsmoe_symmetric *s;
	const struct fsmoe_tensor_info *tensors;
	enum fsmoe_real real;
	char *stays; /* by tensor; bases only */
};

static int may_move(const struct walk *w, fsmoe_tensor_t tensor)
{
	return tensor != FSMOE_NONE && !w->stays[w->tensors[tensor].base];
}

/* Returns where the tensor begins. */
static uint64_t put(const struct walk *w, fsmoe_tensor_t tensor)
{
	const struct fsmoe_tensor_info *t = &w->tensors[tensor], *base = &w->tensors[t->base];
	struct fsmoe_symmetric *s = w->s;

	if (s->at[t->base] == FSMOE_ELSEWHERE)
	{
		s->at[t->base] = s->bytes;
		s->bytes +=
			(fsmoe_tensor_bytes(w->real, base) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	}
	return s->at[t->base] + t->offset * fsmoe_tensor_element(w->real, t);
}

static void mix(struct fsmoe_symmetric *s, uint64_t word)
{
	s->hash = fsmoe_hash(s->hash, &word, sizeof(word));
}

static void visit(const struct walk *w, const struct fsmoe_node *node, unsigned may)
{
	const struct carried *c = find(node);
	const fsmoe_tensor_t x = c ? node->access[c->from].tensor : FSMOE_NONE,
			     y = c ? node->access[c->to].tensor : FSMOE_NONE;
	unsigned group;

	if (!c || !may_move(w, x) || !may_move(w, y))
		return;
	group = 1u << node->op->group(node->args);
	if (!(may & group))
	{
		w->s->refused |= group;
		return;
	}
	w->s->groups |= group;
	mix(w->s, group);
	mix(w->s, put(w, x));
	mix(w->s, put(w, y));
	mix(w->s, fsmoe_tensor_bytes(w->real, &w->tensors[x]));
}

static int is_sum(const struct fsmoe_node *node)
{
	return node->op->kind == FSMOE_KIND_REDUCE_SCATTER ||
	       node->op->kind == FSMOE_KIND_ALLREDUCE;
}

static void find_stays(const struct walk *w, const struct fsmoe_node *node, int nnodes,
		       int ntensors, const char *elsewhere)
{
	for (int t = 0; t < ntensors; t++)
		w->stays[t] = w->tensors[t].role != FSMOE_ACTIVATION || (elsewhere && elsewhere[t]);
	for (int i = 0; i < nnodes; i++)
		for (int a = 0; a < node[i].naccess && is_sum(&node[i]); a++)
			if (node[i].access[a].tensor != FSMOE_NONE &&
			    node[i].access[a].mode & FSMOE_R)
				w->stays[w->tensors[node[i].access[a].tensor].base] = 1;
}

int fsmoe_symmetric_lay_out(struct fsmoe_symmetric *s, fsmoe_graph_t graph, enum fsmoe_real real,
			    unsigned may, const char *elsewhere)
{
	int nnodes, ntensors;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &nnodes);
	struct walk w = {s, fsmoe_graph_tensors(graph, &ntensors), real,
			 calloc((size_t)ntensors + 1, 1)};

	*s = (struct fsmoe_symmetric){.hash = FSMOE_HASH_START,
				      .at = calloc((size_t)ntensors + 1, sizeof(*s->at))};
	if (!s->at || !w.stays)
	{
		free(w.stays);
		return fsmoe_fail(ENOMEM, "no memory for the places of %d tensors", ntensors);
	}
	for (int t = 0; t < ntensors; t++)
		s->at[t] = FSMOE_ELSEWHERE;
	find_stays(&w, node, nnodes, ntensors, elsewhere);
	for (int i = 0; i < nnodes; i++)
		visit(&w, &node[i], may);
	free(w.stays);
	return 0;
}

void fsmoe_symmetric_free(struct fsmoe_symmetric *s)
{
	free(s->at);
	*s = (struct fsmoe_symmetric){0};
}
