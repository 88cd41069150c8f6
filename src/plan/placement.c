/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/placement.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

uint64_t fsmoe_gradient_bytes(const struct fsmoe_layer_cost *cost)
{
	return 4 * (uint64_t)(cost->gradient_bytes / 4 + 0.5);
}

static struct fsmoe_share whole_share(uint64_t bytes)
{
	return (struct fsmoe_share){bytes, bytes > 0};
}

static int place_at_end(struct fsmoe_placement *s)
{
	uint64_t all = 0;

	for (int i = 0; i < s->problem->layers; i++)
		all += fsmoe_gradient_bytes(&s->problem->layer[i]);
	s->plan->tail = whole_share(all);
	return 0;
}

/* Places a layer's gradients beside the dense part that comes next in backward, however long. */
static int place_beside_dense(struct fsmoe_placement *s)
{
	const struct fsmoe_plan_problem *p = s->problem;
	uint64_t there = p->steady ? fsmoe_gradient_bytes(&p->layer[0]) : 0;

	for (int i = p->layers - 1; i >= 0; i--)
	{
		s->plan->layer[i].dense = whole_share(there);
		there = fsmoe_gradient_bytes(&p->layer[i]);
	}
	if (!p->steady)
		s->plan->tail = whole_share(there);
	return 0;
}

/* --- fixed pieces ------------------------------------------------------------------------- */

/* Complete pieces: each layer's gradients in as few equal ones as the row allows. */
struct queue
{
	uint64_t *piece;
	int n, next;
};

static int pieces_of(const struct fsmoe_placement *s, uint64_t bytes)
{
	return (int)fmin(ceil((double)bytes / s->row->gradient_bytes), 1e6);
}

static void push_pieces(struct queue *q, const struct fsmoe_placement *s, uint64_t bytes)
{
	const int n = pieces_of(s, bytes);

	for (int i = 0; i < n; i++)
	{
		/* Whole floats; the last takes the remainder. */
		const uint64_t one = i + 1 < n ? bytes / (uint64_t)(n - i) / 4 * 4 : bytes;

		q->piece[q->n++] = one;
		bytes -= one;
	}
}

/* Pieces start while the lane idles and may end after it. The row counts pieces, not buckets. */
static struct fsmoe_share take_pieces(struct queue *q, const struct fsmoe_plan_problem *p,
				      double seconds)
{
	struct fsmoe_share share = {0, 0};

	while (q->next < q->n &&
	       ((share.bytes == 0 && seconds > 0) ||
		share.pieces * p->allreduce_alpha + p->allreduce_beta * (double)share.bytes <
			seconds))
	{
		share.bytes += q->piece[q->next++];
		share.pieces++;
	}
	return share;
}

static int place_fixed(struct fsmoe_placement *s)
{
	const struct fsmoe_plan_problem *p = s->problem;
	struct queue q = {0};
	size_t n = 0;

	for (int i = 0; i < p->layers; i++)
		n += (size_t)pieces_of(s, fsmoe_gradient_bytes(&p->layer[i]));
	q.piece = malloc((n + 1) * sizeof(*q.piece));
	if (!q.piece)
		return fsmoe_fail(ENOMEM, "no memory for %zu pieces of gradients", n);
	if (p->steady)
		push_pieces(&q, s, fsmoe_gradient_bytes(&p->layer[0]));
	for (int i = p->layers - 1; i >= 0; i--)
	{
		const struct fsmoe_option_cost *o = &s->layer[i].backward[s->layer[i].best];

		s->plan->layer[i].moe = take_pieces(&q, p, o->seconds - o->busy);
		s->plan->layer[i].dense =
			take_pieces(&q, p, fsmoe_dense_window(s->row, &p->layer[i]));
		if (!p->steady || i > 0)
			push_pieces(&q, s, fsmoe_gradient_bytes(&p->layer[i]));
	}
	s->plan->tail = take_pieces(&q, p, INFINITY);
	free(q.piece);
	return 0;
}

static int place_adaptive(struct fsmoe_placement *s)
{
	if (!s->problem->steady)
		return fsmoe_place_adaptive(s);
	fsmoe_place_adaptive_steady(s);
	return 0;
}

int fsmoe_place_gradients(struct fsmoe_placement *s)
{
	static int (*const place[FSMOE_NGRADIENT_RULES])(struct fsmoe_placement *) = {
		[FSMOE_GRADIENTS_AT_END] = place_at_end,
		[FSMOE_GRADIENTS_BESIDE_DENSE] = place_beside_dense,
		[FSMOE_GRADIENTS_FIXED] = place_fixed,
		[FSMOE_GRADIENTS_ADAPTIVE] = place_adaptive,
	};

	return place[s->row->gradients](s);
}
