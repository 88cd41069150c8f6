/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/partition.h"
#include "plan/shares.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

/*
 * The adaptive cut of section 6, exact: fill the windows in the order of time, then spread what is
 * left by dynamic programming, since a longer AllReduce beside a mixture makes fewer chunks, with
 * fewer AlltoAlls to start, the better choice. Windows 2 j and 2 j + 1 are the mixture and the
 * dense part of the layer that comes j-th in backward.
 */
struct cut
{
	struct fsmoe_shares *shares;
	const struct fsmoe_plan_problem *problem;
	struct fsmoe_window *window;   /* 2 l */
	double *seconds;               /* 2 l: that hide in each window */
	struct fsmoe_spot *from;       /* 2 l: where it starts to send, once windows are filled */
	struct fsmoe_choices *choices; /* l */
	struct fsmoe_choice *choice;   /* of all layers */
	int *option;                   /* of each choice: place in the layer's options */
	double *extra;                 /* of the options of a layer */
	int *chosen;                   /* l */
};

static int layer_of(const struct cut *c, int j)
{
	return c->problem->layers - 1 - j;
}

/* Equation 6.1: what hides at the best degree without gradients, and beside dense parts. How many
 * bytes that are depends on which come next, so on what earlier windows took. */
static void make_windows(struct cut *c)
{
	const struct fsmoe_flat *flat = &c->shares->flat;
	uint64_t there = 0, sent = 0;

	for (int j = 0; j < 2 * c->problem->layers; j++)
	{
		const int i = layer_of(c, j / 2), moe = j % 2 == 0;
		const struct fsmoe_shares_layer *l = &c->shares->layer[i];
		const struct fsmoe_option_cost *o = &l->backward[l->best];
		const uint64_t arrives =
			moe && j ? fsmoe_gradient_of(&c->problem->layer[i + 1]) : 0;
		double take;

		c->seconds[j] = moe ? o->seconds - o->busy
				    : fsmoe_dense_window(c->shares->row, &c->problem->layer[i]);
		c->from[j] = fsmoe_flat_at(flat, sent);
		c->window[j] = (struct fsmoe_window){
			.arrives = (double)arrives,
			.capacity = fsmoe_flat_bytes(flat, c->from[j], c->seconds[j])};
		there += arrives;
		take = fmin(c->window[j].capacity, (double)there);
		there -= (uint64_t)take;
		sent += (uint64_t)take;
	}
}

/* The breakpoints of a layer: degrees that take longer and hide more, none beaten in both. Returns
 * how many; `choice` and `option` have room for all degrees. */
static int breakpoints(const struct cut *c, int j, double most, struct fsmoe_choice *choice,
		       int *option)
{
	const struct fsmoe_shares_layer *l = &c->shares->layer[layer_of(c, j)];
	const double base = l->backward[l->best].seconds;
	int n = 1;

	for (int k = 0; k < l->nbackward; k++)
		c->extra[k] = fmin(fsmoe_flat_bytes(&c->shares->flat, c->from[2 * j],
						    l->backward[k].seconds - l->backward[k].busy) -
					   c->window[2 * j].filled,
				   most);
	choice[0] = (struct fsmoe_choice){0, 0};
	option[0] = l->best;
	for (;;)
	{
		/* The cheapest that hides more than the last one. */
		int next = -1;
		const double extra = choice[n - 1].extra;

		for (int k = 0; k < l->nbackward; k++)
		{
			const double seconds = l->backward[k].seconds;

			if (c->extra[k] > extra &&
			    (next < 0 || seconds < l->backward[next].seconds ||
			     (seconds == l->backward[next].seconds &&
			      c->extra[k] > c->extra[next])))
				next = k;
		}
		if (next < 0)
			return n;
		choice[n] = (struct fsmoe_choice){l->backward[next].seconds - base, c->extra[next]};
		option[n++] = next;
	}
}

/* Step 2, where something is left: degrees at which more hides. */
static int spread(struct cut *c, double left)
{
	const struct fsmoe_plan_problem *p = c->problem;
	const double whole = fsmoe_gradient_of(&p->layer[0]) ? 0 : p->allreduce_alpha;
	double ready = 0;
	int at = 0, err;

	for (int j = 0; j < p->layers; j++)
	{
		struct fsmoe_choices *choices = &c->choices[j];

		ready += c->window[2 * j].left;
		choices->ready = ready;
		choices->choice = c->choice + at;
		choices->n = breakpoints(c, j, left, c->choice + at, c->option + at);
		at += choices->n;
	}
	err = fsmoe_spread(c->choices, p->layers, p->allreduce_beta, whole, c->chosen, NULL);
	for (int j = 0; j < p->layers && !err; j++)
	{
		const struct fsmoe_shares_layer *l = &c->shares->layer[layer_of(c, j)];
		const ptrdiff_t k = c->choices[j].choice - c->choice + c->chosen[j];
		const struct fsmoe_option_cost *o = &l->backward[c->option[k]];

		c->seconds[2 * j] = o->seconds - o->busy;
	}
	return err;
}

/* Whole floats into the windows as they are now (equation 6.6), down or up. Returns what is left of
 * all but the first layer's. */
static uint64_t hand_out(struct cut *c, int up)
{
	const struct fsmoe_plan_problem *p = c->problem;
	const struct fsmoe_flat *flat = &c->shares->flat;
	uint64_t there = 0, sent = 0;

	for (int j = 0; j < 2 * p->layers; j++)
	{
		const int i = layer_of(c, j / 2);
		struct fsmoe_plan_layer *l = &c->shares->plan->layer[i];
		struct fsmoe_share *share = j % 2 ? &l->dense : &l->moe;
		double capacity;
		uint64_t bytes;

		there += (uint64_t)c->window[j].arrives;
		capacity = fsmoe_flat_bytes(flat, fsmoe_flat_at(flat, sent), c->seconds[j]);
		bytes = capacity >= (double)there
				? there
				: 4 * (uint64_t)(up ? ceil(capacity / 4) : floor(capacity / 4));
		*share = (struct fsmoe_share){bytes, bytes > 0};
		there -= bytes;
		sent += bytes;
	}
	c->shares->plan->tail.bytes = there + fsmoe_gradient_of(&p->layer[0]);
	c->shares->plan->tail.pieces = c->shares->plan->tail.bytes > 0;
	return there;
}

int fsmoe_place_adaptive(struct fsmoe_shares *s)
{
	const size_t l = (size_t)s->problem->layers;
	struct cut c = {.shares = s, .problem = s->problem};
	size_t options = 0;
	double left = 0;
	int err = 0;

	for (size_t i = 0; i < l; i++)
		options += (size_t)s->layer[i].nbackward + 1;
	c.window = malloc(2 * l * sizeof(*c.window));
	c.seconds = malloc(2 * l * sizeof(*c.seconds));
	c.from = malloc(2 * l * sizeof(*c.from));
	c.choices = malloc(l * sizeof(*c.choices));
	c.choice = malloc(options * sizeof(*c.choice));
	c.option = malloc(options * sizeof(*c.option));
	c.extra = malloc(options * sizeof(*c.extra));
	c.chosen = malloc(l * sizeof(*c.chosen));
	if (c.window && c.seconds && c.from && c.choices && c.choice && c.option && c.extra &&
	    c.chosen)
	{
		make_windows(&c);
		fsmoe_fill_windows(c.window, 2 * (int)l);
		for (size_t j = 0; j < 2 * l; j++)
			left += c.window[j].left;
		/* Less than a float is a rounding error. */
		if (left >= 4)
			err = spread(&c, left);
		/* A float that overlaps in part is better than one that is exposed at the end. */
		if (hand_out(&c, 0))
			hand_out(&c, 1);
	}
	else
		err = fsmoe_fail(ENOMEM, "no memory to plan %zu layers", l);
	free(c.window);
	free(c.seconds);
	free(c.from);
	free(c.choices);
	free(c.choice);
	free(c.option);
	free(c.extra);
	free(c.chosen);
	return err;
}

/* --- a layer in the middle of a long model ------------------------------------------------ */

struct candidate
{
	uint64_t moe;
	double seconds;
};

/* A layer and the bytes that it has to place: `all` from `from` on. */
struct place
{
	const struct fsmoe_shares *shares;
	int i;
	uint64_t from, all;
};

static void try_share(const struct place *at, uint64_t moe, struct candidate *best)
{
	const struct fsmoe_shares *s = at->shares;
	const struct fsmoe_shares_layer *l = &s->layer[at->i];
	const uint64_t rest = at->all - moe;
	const double gradient = fsmoe_flat_seconds(&s->flat, at->from,
						   (struct fsmoe_share){moe, moe > 0}),
		     beside = fsmoe_flat_seconds(&s->flat, at->from + moe,
						 (struct fsmoe_share){rest, rest > 0});
	const struct fsmoe_option_cost *o =
		&l->backward[fsmoe_best_option(l->backward, l->nbackward, gradient)];
	const double seconds =
		fmax(o->seconds, o->busy + gradient) +
		fsmoe_dense_seconds(s->row, &s->problem->layer[at->i], FSMOE_BACKWARD, beside);

	if (seconds < best->seconds * (1 - 1e-12))
		*best = (struct candidate){moe, seconds};
}

/* A layer's time as a function of the bytes beside its mixture is piecewise linear: the least is at
 * a place where a window is just full or a buffer ends, or at an end. */
static uint64_t best_share(const struct place *at)
{
	const struct fsmoe_shares *s = at->shares;
	const struct fsmoe_shares_layer *l = &s->layer[at->i];
	const struct fsmoe_flat *flat = &s->flat;
	const struct fsmoe_spot from = fsmoe_flat_at(flat, at->from),
				end = fsmoe_flat_at(flat, at->from + at->all);
	const double dense = fsmoe_dense_window(s->row, &s->problem->layer[at->i]);
	struct candidate best = {0, INFINITY};

	try_share(at, 0, &best);
	try_share(at, end.byte - fsmoe_flat_within(flat, from, dense, end).byte, &best);
	for (int k = 0; k < l->nbackward; k++)
	{
		const double hides = l->backward[k].seconds - l->backward[k].busy;

		try_share(at, fsmoe_flat_within(flat, from, hides, end).byte - from.byte, &best);
	}
	for (int k = from.buffer; k < flat->n && flat->end[k] < end.byte; k++)
		try_share(at, flat->end[k] - from.byte, &best);
	try_share(at, at->all, &best);
	return best.moe;
}

void fsmoe_place_adaptive_steady(struct fsmoe_shares *s)
{
	const struct fsmoe_plan_problem *p = s->problem;
	struct place at = {.shares = s};

	for (at.i = p->layers - 1; at.i >= 0; at.i--)
	{
		struct fsmoe_plan_layer *l = &s->plan->layer[at.i];
		uint64_t moe;

		at.all = fsmoe_gradient_of(&p->layer[at.i + 1 < p->layers ? at.i + 1 : 0]);
		moe = best_share(&at);
		l->moe = (struct fsmoe_share){moe, moe > 0};
		l->dense = (struct fsmoe_share){at.all - moe, at.all > moe};
		at.from += at.all;
	}
}
