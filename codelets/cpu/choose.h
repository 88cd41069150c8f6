/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_KERNEL_CHOOSE_H
#define FSMOE_KERNEL_CHOOSE_H

#include "codelets/cpu/real.h"

#include <errno.h>
#include <fsmoe/module.h>

/* What gates have in common: scores, choices, slots. Of equals the lower number comes first,
 * everywhere, so that a decision is a function of the scores alone. */

/* A dot product whose order of additions is written down here, and not chosen by a library from
 * the shape of a whole matrix: near-ties between experts fall the same way however the tokens lie
 * on ranks. Eight running sums so that a compiler may use vectors. */
static inline real choose_dot(const real *a, const real *b, size_t n)
{
	real sum[8] = {0};
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (int l = 0; l < 8; l++)
			sum[l] += a[i + l] * b[i + l];
	for (int l = 0; i < n; i++, l++)
		sum[l] += a[i] * b[i];
	return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* Fails the step when a row of scores is not finite: no order could be made of it. */
static inline int choose_check(const struct fsmoe_call *call, const real *score, size_t row,
			       size_t experts)
{
	for (size_t e = 0; e < experts; e++)
		if (!isfinite(score[e]))
			return fsmoe_fail(
				EDOM,
				"step %llu, layer %d: the gate's logit of token row %zu for expert "
				"%zu is not finite: training diverged, or an input is not a number",
				call->step ? (unsigned long long)call->step->step : 0,
				call->node->layer, row, e);
	return 0;
}

/* The k largest, largest first. Each pass takes the best of those that come after the last pick in
 * that order, so nothing needs to be marked. */
static inline void choose_top(const real *score, size_t experts, size_t topk, int32_t *expert)
{
	size_t last = 0;

	for (size_t j = 0; j < topk; j++)
	{
		size_t best = experts;
		for (size_t e = 0; e < experts; e++)
		{
			if (j > 0 &&
			    (score[e] > score[last] || (score[e] == score[last] && e <= last)))
				continue;
			if (best == experts || score[e] > score[best])
				best = e;
		}
		expert[j] = (int32_t)best;
		last = best;
	}
}

/* In double, then rounded: a GPU's library then gives the same, and with it the same choices where
 * weights decide. */
static inline real choose_exp(real x)
{
	return (real)exp((double)x);
}

static inline void choose_softmax(real *row, size_t n)
{
	real top = row[0], sum = 0;

	for (size_t i = 1; i < n; i++)
		top = row[i] > top ? row[i] : top;
	for (size_t i = 0; i < n; i++)
		sum += row[i] = choose_exp(row[i] - top);
	for (size_t i = 0; i < n; i++)
		row[i] /= sum;
}

/* --- sorting ------------------------------------------------------------------------------ */

/* An order of list entries i = t * width + j: by falling key[i * stride], then first choices before
 * second ones, then by token. */
struct choose_order
{
	const real *key;
	size_t stride, width, group;
};

static inline int choose_before(const struct choose_order *o, int32_t a, int32_t b)
{
	real x = o->key[(size_t)a * o->stride], y = o->key[(size_t)b * o->stride];
	size_t i = (size_t)a, k = (size_t)b, w = o->width;

	if (x != y)
		return x > y;
	return i % w * o->group + i / w < k % w * o->group + k / w;
}

/* Below `root` the heap is in order again: a parent comes after its children. */
static inline void choose_sift(const struct choose_order *o, int32_t *heap, size_t root, size_t n)
{
	for (size_t child; (child = 2 * root + 1) < n; root = child)
	{
		int32_t moved = heap[root];
		if (child + 1 < n && choose_before(o, heap[child], heap[child + 1]))
			child++;
		if (!choose_before(o, moved, heap[child]))
			return;
		heap[root] = heap[child];
		heap[child] = moved;
	}
}

/* A heap needs no other memory; the order is total, so that it is stable does not matter. */
static inline void choose_sort(const struct choose_order *o, int32_t *list, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		choose_sift(o, list, i, n);
	for (size_t last = n; last-- > 1;)
	{
		int32_t top = list[0];
		list[0] = list[last];
		list[last] = top;
		choose_sift(o, list, 0, last);
	}
}

/* --- slots -------------------------------------------------------------------------------- */

/* The choices of one routing group, and where its slots begin. */
struct choose_group
{
	size_t tokens, topk, experts, capacity, first_slot;
	const int32_t *expert; /* (tokens, topk) */
	const real *weight;
	int32_t *slot, *counts; /* (tokens, topk), (experts) */
};

static inline void choose_next_slot(const struct choose_group *g, size_t i)
{
	int32_t *count = &g->counts[g->expert[i]]; /* serves as the next free position */
	int free = (size_t)*count < g->capacity;

	g->slot[i] = free ? (int32_t)(g->first_slot + (size_t)*count) : -1;
	*count += free;
}

/* All that want an expert, the best first. */
static inline void choose_slots_by_weight(const struct choose_group *g, int32_t *list)
{
	const struct choose_order order = {g->weight, 1, g->topk, g->tokens};

	for (size_t e = 0; e < g->experts; e++)
	{
		size_t n = 0;
		for (size_t i = 0; i < g->tokens * g->topk; i++)
			if ((size_t)g->expert[i] == e)
				list[n++] = (int32_t)i;
		choose_sort(&order, list, n);
		for (size_t i = 0; i < n; i++)
			choose_next_slot(g, (size_t)list[i]);
	}
}

/* `list` has room for the group's tokens: nobody chooses an expert twice. */
static inline void choose_slots(const struct choose_group *g, enum fsmoe_drop drop, int32_t *list)
{
	memset(g->counts, 0, g->experts * sizeof(*g->counts));
	switch (drop)
	{
	case FSMOE_DROP_POSITION:
		for (size_t j = 0; j < g->topk; j++)
			for (size_t t = 0; t < g->tokens; t++)
				choose_next_slot(g, t * g->topk + j);
		break;
	case FSMOE_DROP_TOKEN:
		for (size_t i = 0; i < g->tokens * g->topk; i++)
			choose_next_slot(g, i);
		break;
	case FSMOE_DROP_PROBABILITY:
		choose_slots_by_weight(g, list);
		break;
	}
}

#endif
