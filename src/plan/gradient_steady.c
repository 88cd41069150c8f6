/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/placement.h"

#include <math.h>

/*
 * The adaptive placement where layers go round, as in the middle of a long model. Each layer has
 * the gradients of the one before it in backward to place, beside its mixture or its dense part.
 */
struct steady_layer
{
	const struct fsmoe_placement *placement;
	int layer;
	uint64_t from, bytes; /* its gradients in the list */
	uint64_t best;        /* bytes beside the mixture */
	double seconds;       /* of the layer with them */
};

static void try_share(struct steady_layer *s, uint64_t moe)
{
	const struct fsmoe_placement *p = s->placement;
	const struct fsmoe_placement_layer *l = &p->layer[s->layer];
	const uint64_t rest = s->bytes - moe;
	const double gradient = fsmoe_gradient_share_seconds(&p->list, s->from,
							     (struct fsmoe_share){moe, moe > 0}),
		     beside = fsmoe_gradient_share_seconds(&p->list, s->from + moe,
							   (struct fsmoe_share){rest, rest > 0});
	const struct fsmoe_option_cost *o =
		&l->backward[fsmoe_best_option(l->backward, l->nbackward, gradient)];
	const double seconds =
		fmax(o->seconds, o->busy + gradient) +
		fsmoe_dense_seconds(p->row, &p->problem->layer[s->layer], FSMOE_BACKWARD, beside);

	if (seconds < s->seconds * (1 - 1e-12))
	{
		s->best = moe;
		s->seconds = seconds;
	}
}

/* A layer's time is piecewise linear in the bytes beside its mixture. Its minimum lies where a
 * window is just full, where a bucket ends, or at an end. */
static void find_share(struct steady_layer *s)
{
	const struct fsmoe_placement *p = s->placement;
	const struct fsmoe_placement_layer *l = &p->layer[s->layer];
	const struct fsmoe_gradient_list *list = &p->list;
	const struct fsmoe_gradient_position from = fsmoe_gradient_position_at(list, s->from),
					     end = fsmoe_gradient_position_at(list,
									      s->from + s->bytes);
	const double dense = fsmoe_dense_window(p->row, &p->problem->layer[s->layer]);

	s->best = 0;
	s->seconds = INFINITY;
	try_share(s, 0);
	try_share(s, end.byte - fsmoe_gradient_fit(list, from, dense, floor, end).byte);
	for (int k = 0; k < l->nbackward; k++)
	{
		const double hidden = l->backward[k].seconds - l->backward[k].busy;

		try_share(s, fsmoe_gradient_fit(list, from, hidden, floor, end).byte - from.byte);
	}
	for (int k = from.bucket; k < list->n && list->end[k] < end.byte; k++)
		try_share(s, list->end[k] - from.byte);
	try_share(s, s->bytes);
}

void fsmoe_place_adaptive_steady(struct fsmoe_placement *placement)
{
	const struct fsmoe_plan_problem *p = placement->problem;
	struct steady_layer s = {.placement = placement};

	for (s.layer = p->layers - 1; s.layer >= 0; s.layer--)
	{
		struct fsmoe_plan_layer *l = &placement->plan->layer[s.layer];
		const int before = s.layer + 1 < p->layers ? s.layer + 1 : 0;

		s.bytes = fsmoe_gradient_bytes(&p->layer[before]);
		find_share(&s);
		l->moe = (struct fsmoe_share){s.best, s.best > 0};
		l->dense = (struct fsmoe_share){s.bytes - s.best, s.bytes > s.best};
		s.from += s.bytes;
	}
}
