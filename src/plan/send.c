/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/shares.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

/*
 * The adaptive cut where gradients lie in buffers of their own. Every AllReduce ends with its
 * buffer, so it may be better to send one whole, longer than its window, than to start it twice;
 * filling windows (adaptive.c) does not see that. What matters of the windows up to one is how much
 * was sent and what it took: a dynamic program over the bytes sent, in which a window takes
 * nothing, what hides beside it with some number of chunks, that up to the buffer's end before or
 * after, or all there is. Of the ways that have sent nearly as much, the one goes on that would
 * take least if the rest were sent at the end.
 */
enum
{
	CELLS = 16,      /* ways that go on; with 512 plans get 2e-5 shorter */
	WAYS = CELLS + 1 /* and everything beside the dense parts: never worse than that */
};

struct way
{
	struct fsmoe_spot sent;
	double seconds, score; /* so far; and with all that is left at the end */
	int parent;            /* place in the ways of the window before */
};

struct sending
{
	struct fsmoe_shares *shares;
	struct fsmoe_spot all;
	struct way *way;         /* WAYS before each window, and after the last */
	int *nways;              /* of each */
	struct way fresh[CELLS]; /* after a window */
	struct fsmoe_spot ready; /* what is complete by the window */
	struct fsmoe_spot *to;   /* where that ends which may be sent in it */
	int nto;
	double least; /* seconds of the window */
	/* Of a layer's mixture: numbers of chunks that may be best beside some gradient, and
	 * seconds that hide; `of`: made of these. */
	const struct fsmoe_option_cost *of;
	struct fsmoe_option_cost *option;
	double *capacity;
	int noptions, ncapacities;
};

/* The layer of a window: 2 j is the mixture of the layer that comes j-th in backward, 2 j + 1 its
 * dense part. */
static int layer_of(const struct sending *s, int j)
{
	return s->shares->problem->layers - 1 - j / 2;
}

static double window_seconds(const struct sending *s, int j, double gradient)
{
	const struct fsmoe_option_cost *o;

	if (j % 2)
		return fsmoe_dense_seconds(s->shares->row,
					   &s->shares->problem->layer[layer_of(s, j)],
					   FSMOE_BACKWARD, gradient);
	o = &s->option[fsmoe_best_option(s->option, s->noptions, gradient)];
	return fmax(o->seconds, o->busy + gradient);
}

/* Where one with fewer chunks takes no longer and keeps its lane no busier, it is the better one
 * beside any gradient. */
static void find_options(struct sending *s, const struct fsmoe_shares_layer *l)
{
	s->noptions = 0;
	for (int k = 0; k < l->nbackward; k++)
	{
		int beaten = 0;

		for (int m = 0; m < s->noptions && !beaten; m++)
			beaten = s->option[m].seconds <= l->backward[k].seconds &&
				 s->option[m].busy <= l->backward[k].busy;
		if (!beaten)
			s->option[s->noptions++] = l->backward[k];
	}
}

/* Seconds that hide: of numbers of chunks those that take longer than others and hide more. */
static void find_capacities(struct sending *s, const struct fsmoe_shares_layer *l)
{
	s->ncapacities = 0;
	for (int k = 0; k < l->nbackward; k++)
	{
		const struct fsmoe_option_cost *o = &l->backward[k];
		int beaten = 0;

		for (int m = 0; m < l->nbackward && !beaten; m++)
			beaten = l->backward[m].seconds < o->seconds &&
				 l->backward[m].seconds - l->backward[m].busy >=
					 o->seconds - o->busy;
		if (!beaten)
			s->capacity[s->ncapacities++] = o->seconds - o->busy;
	}
}

/* Makes a window the one that is looked at. */
static void look_at(struct sending *s, int j)
{
	const struct fsmoe_shares_layer *l = &s->shares->layer[layer_of(s, j)];

	if (s->of != l->backward)
	{
		find_options(s, l);
		find_capacities(s, l);
		s->of = l->backward;
	}
	s->least = window_seconds(s, j, 0);
}

/* All that is not sent by then, at the end. */
static double tail_seconds(const struct sending *s, struct fsmoe_spot sent)
{
	return fsmoe_flat_between(&s->shares->flat, sent, s->all);
}

/* A way to window j, and there what comes up to `to`. */
static struct way extend(const struct sending *s, int j, int from, struct fsmoe_spot to,
			 double tail)
{
	const struct way *way = &s->way[(size_t)j * WAYS + (size_t)from];
	const double gradient = fsmoe_flat_between(&s->shares->flat, way->sent, to),
		     seconds = way->seconds + window_seconds(s, j, gradient);

	return (struct way){to, seconds, seconds + tail, from};
}

/* The same, if it is the best of its cell: of equals that from the first way. Most are not the best
 * even if all they send there hides. */
static void try_way(struct sending *s, int j, int from, struct fsmoe_spot to)
{
	const double tail = tail_seconds(s, to),
		     before = s->way[(size_t)j * WAYS + (size_t)from].seconds;
	struct way *cell = &s->fresh[s->ready.byte ? to.byte * (CELLS - 1) / s->ready.byte : 0];

	if (before + s->least + tail <= cell->score)
	{
		const struct way way = extend(s, j, from, to, tail);

		if (way.score < cell->score || (way.score == cell->score && from < cell->parent))
			*cell = way;
	}
}

static void want(struct sending *s, struct fsmoe_spot to)
{
	for (int k = 0; k < s->nto; k++)
		if (s->to[k].byte == to.byte)
			return;
	s->to[s->nto++] = to;
}

/* What hides, and that up to the ends of buffers around it. */
static void want_around(struct sending *s, struct fsmoe_spot from, struct fsmoe_spot to)
{
	const struct fsmoe_flat *flat = &s->shares->flat;
	const struct fsmoe_spot before = fsmoe_flat_end_before(flat, to),
				after = fsmoe_flat_end_after(flat, to);

	want(s, to);
	if (before.byte > from.byte)
		want(s, before);
	if (after.byte <= s->ready.byte)
		want(s, after);
}

/* What may be sent in a window: nothing, all there is, and around what hides. */
static void find_ends(struct sending *s, int j, struct fsmoe_spot from)
{
	const struct fsmoe_shares *shares = s->shares;
	const struct fsmoe_layer_cost *cost = &shares->problem->layer[layer_of(s, j)];
	struct fsmoe_spot last = {UINT64_MAX, 0};

	s->nto = 0;
	want(s, from);
	want(s, s->ready);
	if (j % 2)
	{
		const double window = fsmoe_dense_window(shares->row, cost);

		want_around(s, from, fsmoe_flat_within(&shares->flat, from, window, s->ready));
		return;
	}
	for (int k = 0; k < s->ncapacities; k++)
	{
		const struct fsmoe_spot to =
			fsmoe_flat_within(&shares->flat, from, s->capacity[k], s->ready);

		if (to.byte != last.byte)
			want_around(s, from, to);
		last = to;
	}
}

static void pass_window(struct sending *s, int j)
{
	const struct way *way = s->way + (size_t)j * WAYS;
	struct way *next = s->way + (size_t)(j + 1) * WAYS;
	const int dense = s->nways[j] - 1; /* the last one sends beside dense parts alone */
	const struct fsmoe_spot to = j % 2 ? s->ready : way[dense].sent;
	int n = 0;

	look_at(s, j);
	for (int c = 0; c < CELLS; c++)
		s->fresh[c].score = INFINITY;
	/* Those that have sent most first: they are the best more often. */
	for (int w = dense; w >= 0; w--)
	{
		find_ends(s, j, way[w].sent);
		for (int k = 0; k < s->nto; k++)
			try_way(s, j, w, s->to[k]);
	}
	for (int c = 0; c < CELLS; c++)
		if (s->fresh[c].score < INFINITY)
			next[n++] = s->fresh[c];
	next[n++] = extend(s, j, dense, to, tail_seconds(s, to));
	s->nways[j + 1] = n;
}

/* What the plan's shares are predicted to take, with the best number of chunks beside each. */
static double plan_seconds(struct sending *s, double *seconds)
{
	const int windows = 2 * s->shares->problem->layers;
	double sum;

	fsmoe_flat_plan(&s->shares->flat, s->shares->plan, seconds);
	sum = seconds[windows];
	for (int j = 0; j < windows; j++)
	{
		look_at(s, j);
		sum += window_seconds(s, j, seconds[j]);
	}
	return sum;
}

static int best_way(const struct sending *s, int windows)
{
	const struct way *way = s->way + (size_t)windows * WAYS;
	int best = 0;

	for (int w = 1; w < s->nways[windows]; w++)
		if (way[w].score < way[best].score)
			best = w;
	return best;
}

static void write_down(const struct sending *s, int windows, int w)
{
	struct fsmoe_plan *plan = s->shares->plan;
	const uint64_t all = s->all.byte,
		       sent = s->way[(size_t)windows * WAYS + (size_t)w].sent.byte;

	plan->tail = (struct fsmoe_share){all - sent, all > sent};
	for (int j = windows - 1; j >= 0; j--)
	{
		struct fsmoe_plan_layer *l = &plan->layer[plan->layers - 1 - j / 2];
		const struct way *way = &s->way[(size_t)(j + 1) * WAYS + (size_t)w];
		uint64_t bytes;

		w = way->parent;
		bytes = way->sent.byte - s->way[(size_t)j * WAYS + (size_t)w].sent.byte;
		*(j % 2 ? &l->dense : &l->moe) = (struct fsmoe_share){bytes, bytes > 0};
	}
}

/* In place of the plan's shares where that takes less. */
static void send(struct sending *s, double *seconds)
{
	const struct fsmoe_plan_problem *p = s->shares->problem;
	const struct fsmoe_flat *flat = &s->shares->flat;
	const double filled = plan_seconds(s, seconds);
	const int windows = 2 * p->layers;
	uint64_t all = 0;
	int best;

	for (int i = 0; i < p->layers; i++)
		all += fsmoe_gradient_of(&p->layer[i]);
	s->all = fsmoe_flat_at(flat, all);
	s->ready = fsmoe_flat_at(flat, 0);
	s->way[0] = (struct way){.sent = s->ready, .parent = -1};
	s->nways[0] = 1;
	for (int j = 0; j < windows; j++)
	{
		if (j % 2 == 0 && j > 0)
			s->ready = fsmoe_flat_at(
				flat,
				s->ready.byte + fsmoe_gradient_of(&p->layer[p->layers - j / 2]));
		pass_window(s, j);
	}
	best = best_way(s, windows);
	if (s->way[(size_t)windows * WAYS + (size_t)best].score < filled * (1 - 1e-12))
		write_down(s, windows, best);
}

int fsmoe_place_whole_buffers(struct fsmoe_shares *shares)
{
	const size_t windows = 2 * (size_t)shares->problem->layers;
	struct sending s = {.shares = shares};
	double *seconds = malloc((windows + 1) * sizeof(*seconds));
	size_t options = 1;
	int err = 0;

	for (int i = 0; i < shares->problem->layers; i++)
		if ((size_t)shares->layer[i].nbackward > options)
			options = (size_t)shares->layer[i].nbackward;
	s.way = malloc((windows + 1) * WAYS * sizeof(*s.way));
	s.nways = malloc((windows + 1) * sizeof(*s.nways));
	s.option = malloc(options * sizeof(*s.option));
	s.capacity = malloc(options * sizeof(*s.capacity));
	s.to = malloc((3 * options + 2) * sizeof(*s.to));
	if (!seconds || !s.way || !s.nways || !s.option || !s.capacity || !s.to)
		err = fsmoe_fail(ENOMEM, "no memory to plan %d layers", shares->problem->layers);
	else
		send(&s, seconds);
	free(seconds);
	free(s.way);
	free(s.nways);
	free(s.option);
	free(s.capacity);
	free(s.to);
	return err;
}
