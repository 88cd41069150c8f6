/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/order.h"
#include "codelets/cpu/real.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"

#include <errno.h>

/* What every kernel here works on. */
struct lists
{
	size_t rows, topk, experts, dim;
	const int32_t *expert, *slot;
};

static struct lists lists_of(const struct fsmoe_call *call, size_t experts)
{
	return (struct lists){fsmoe_rows(call->tensor[0]),
			      fsmoe_columns(call->tensor[1]),
			      experts,
			      fsmoe_columns(call->tensor[0]),
			      call->data[1],
			      call->data[2]};
}

/* Lists come from a gate, maybe somebody's first one. */
static int bad_expert(const struct fsmoe_call *call, size_t t, int32_t expert)
{
	return fsmoe_fail(EINVAL, "%s: token row %zu names expert %d, which there is not",
			  call->node->op->name, t, (int)expert);
}

/* Rows of tokens, weighted or not, to their places in a chunk. */
static int scatter(const struct fsmoe_call *call, const real *source, const real *weight,
		   real *chunk)
{
	const struct fsmoe_order_args *a = call->args;
	const struct lists l = lists_of(call, a->experts);
	size_t span = a->hi - a->lo;

	if (!a->by_rows)
		memset(chunk, 0, a->experts * span * l.dim * sizeof(*chunk));
	for (size_t i = 0; i < l.rows * l.topk; i++)
	{
		size_t t = i / l.topk, s = (size_t)l.slot[i];
		if (l.slot[i] < 0 || s < a->lo || s >= a->hi)
			continue;
		if (l.expert[i] < 0 || (size_t)l.expert[i] >= l.experts)
			return bad_expert(call, t, l.expert[i]);

		real *row = &chunk[((size_t)l.expert[i] * span + s - a->lo) * l.dim];
		const real *from = &source[t * l.dim];
		if (!weight)
			memcpy(row, from, l.dim * sizeof(*row));
		else
			for (size_t m = 0; m < l.dim; m++)
				row[m] = weight[i] * from[m];
	}
	return 0;
}

/* Sets *row to where the slot of list entry i lies, NULL when in none of the chunks. */
static int locate(const struct fsmoe_call *call, const struct lists *l, void *const *chunk,
		  size_t i, const real **row)
{
	const struct fsmoe_cuts_args *a = call->args;
	size_t piece = l->slot[i] < 0 ? a->n : fsmoe_cuts_find(a->at, a->n, (size_t)l->slot[i]);

	*row = NULL;
	if (piece == a->n)
		return 0;
	if (l->expert[i] < 0 || (size_t)l->expert[i] >= l->experts)
		return bad_expert(call, i / l->topk, l->expert[i]);

	size_t lo = a->at[piece], span = a->at[piece + 1] - lo;
	*row = (const real *)chunk[piece] +
	       ((size_t)l->expert[i] * span + (size_t)l->slot[i] - lo) * l->dim;
	return 0;
}

/* Sums of a token's slots, weighted or not, in the order of its choices. */
static int gather(const struct fsmoe_call *call, const real *weight, void *const *chunk,
		  real *target)
{
	const struct fsmoe_cuts_args *a = call->args;
	const struct lists l = lists_of(call, a->experts);

	memset(target, 0, l.rows * l.dim * sizeof(*target));
	for (size_t i = 0; i < l.rows * l.topk; i++)
	{
		real *sum = &target[i / l.topk * l.dim], w = weight ? weight[i] : 1;
		const real *row;
		if (locate(call, &l, chunk, i, &row))
			return -EINVAL;
		for (size_t m = 0; row && m < l.dim; m++)
			sum[m] += w * row[m];
	}
	return 0;
}

static int dots(const struct fsmoe_call *call, const real *dy, void *const *chunk, real *dweight)
{
	const struct fsmoe_cuts_args *a = call->args;
	const struct lists l = lists_of(call, a->experts);

	for (size_t i = 0; i < l.rows * l.topk; i++)
	{
		const real *g = &dy[i / l.topk * l.dim], *row;
		real sum = 0;
		if (locate(call, &l, chunk, i, &row))
			return -EINVAL;
		for (size_t m = 0; row && m < l.dim; m++)
			sum += g[m] * row[m];
		dweight[i] = sum;
	}
	return 0;
}

int KERNEL(order)(const struct fsmoe_call *call)
{
	return scatter(call, call->data[0], NULL, call->data[3]);
}

int KERNEL(inverse_order_backward_chunk)(const struct fsmoe_call *call)
{
	return scatter(call, call->data[0], call->data[3], call->data[4]);
}

int KERNEL(order_backward)(const struct fsmoe_call *call)
{
	return gather(call, NULL, &call->data[3], call->data[0]);
}

int KERNEL(inverse_order)(const struct fsmoe_call *call)
{
	return gather(call, call->data[3], &call->data[4], call->data[0]);
}

int KERNEL(inverse_order_backward_weight)(const struct fsmoe_call *call)
{
	return dots(call, call->data[0], &call->data[4], call->data[3]);
}
