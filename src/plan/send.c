/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/shares.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

/*
 * The adaptive cut where gradients lie in buffers of their own. Every AllReduce ends with its buffer,
 * so it may be better to send one whole, longer than its window, than to start it twice; filling
 * windows (adaptive.c) does not see that. What matters of the windows up to one is how much was sent
 * and what it took: a dynamic program over the bytes sent, in which a window takes nothing, what hides
 * beside it with some number of chunks, that up to the buffer's end before or after, or all there is.
 * Of the ways that have sent nearly as much, the one goes on that would take least if the rest were
 * sent at the end.
 */
enum
{
	CELLS = 16,      /* ways that go on; with 512 plans get 2e-5 shorter */
	WAYS = CELLS + 1 /* and everything beside the dense parts: never worse than that */
};

struct way
{
	uint64_t sent;
	double seconds, score; /* so far; and with all that is left at the end */
	int parent;            /* place in the ways of the window before */
};

struct sending
{
	struct fsmoe_shares *shares;
	uint64_t all;
	struct way *way;         /* WAYS before each window, and after the last */
	int *nways;              /* of each */
	struct way fresh[CELLS]; /* after a window */
	double *capacity;        /* of a window: seconds that hide */
	uint64_t *amount;
	int ncapacities, namounts;
	uint64_t ready; /* bytes that are complete by the window */
};

static double window_seconds(const struct sending *s, int j, double gradient)
{
	const struct fsmoe_shares *shares = s->shares;
	const int i = shares->problem->layers - 1 - j / 2;
	const struct fsmoe_shares_layer *l = &shares->layer[i];
	const struct fsmoe_option_cost *o;

	if (j % 2)
		return fsmoe_dense_seconds(shares->row, &shares->problem->layer[i], FSMOE_BACKWARD,
					   gradient);
	o = &l->backward[fsmoe_best_option(l->backward, l->nbackward, gradient)];
	return fmax(o->seconds, o->busy + gradient);
}

/* Seconds that hide: of numbers of chunks those that take longer than others and hide more. */
static void find_capacities(struct sending *s, int j)
{
	const struct fsmoe_shares *shares = s->shares;
	const int i = shares->problem->layers - 1 - j / 2;
	const struct fsmoe_shares_layer *l = &shares->layer[i];

	s->ncapacities = 0;
	if (j % 2)
	{
		s->capacity[s->ncapacities++] =
			fsmoe_dense_window(shares->row, &shares->problem->layer[i]);
		return;
	}
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

/* Way number `from` of those before window j, and there so many bytes more. */
static struct way extend(const struct sending *s, int j, int from, uint64_t bytes)
{
	const struct fsmoe_flat *flat = &s->shares->flat;
	const struct way *way = &s->way[(size_t)j * WAYS + (size_t)from];
	const uint64_t sent = way->sent + bytes, left = s->all - sent;
	const double gradient = fsmoe_flat_seconds(flat, way->sent, (struct fsmoe_share){bytes, 1}),
		     tail = fsmoe_flat_seconds(flat, sent, (struct fsmoe_share){left, 1}),
		     seconds = way->seconds + window_seconds(s, j, gradient);

	return (struct way){sent, seconds, seconds + tail, from};
}

/* The same, if it is the best of its cell. */
static void try_way(struct sending *s, int j, int from, uint64_t bytes)
{
	const struct way way = extend(s, j, from, bytes);
	struct way *cell = &s->fresh[s->ready ? way.sent * (CELLS - 1) / s->ready : 0];

	if (way.score < cell->score)
		*cell = way;
}

static void want(struct sending *s, uint64_t bytes)
{
	for (int k = 0; k < s->namounts; k++)
		if (s->amount[k] == bytes)
			return;
	s->amount[s->namounts++] = bytes;
}

/* What may be sent in a window: nothing, all there is, what hides, and that up to the ends of buffers
 * around it. */
static void find_amounts(struct sending *s, uint64_t from)
{
	const struct fsmoe_flat *flat = &s->shares->flat;
	const uint64_t there = s->ready - from;

	s->namounts = 0;
	want(s, 0);
	want(s, there);
	for (int k = 0; k < s->ncapacities; k++)
	{
		const uint64_t bytes = fsmoe_flat_within(flat, from, s->capacity[k], there);
		uint64_t before, after;

		want(s, bytes);
		fsmoe_flat_ends(flat, from + bytes, &before, &after);
		if (before > from)
			want(s, before - from);
		if (after <= s->ready)
			want(s, after - from);
	}
}

static void pass_window(struct sending *s, int j)
{
	const struct way *way = s->way + (size_t)j * WAYS;
	struct way *next = s->way + (size_t)(j + 1) * WAYS;
	const int dense = s->nways[j] - 1; /* the last one sends beside dense parts alone */
	int n = 0;

	for (int c = 0; c < CELLS; c++)
		s->fresh[c].score = INFINITY;
	find_capacities(s, j);
	for (int w = 0; w < s->nways[j]; w++)
	{
		find_amounts(s, way[w].sent);
		for (int k = 0; k < s->namounts; k++)
			try_way(s, j, w, s->amount[k]);
	}
	for (int c = 0; c < CELLS; c++)
		if (s->fresh[c].score < INFINITY)
			next[n++] = s->fresh[c];
	next[n++] = extend(s, j, dense, j % 2 ? s->ready - way[dense].sent : 0);
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
		sum += window_seconds(s, j, seconds[j]);
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
	const uint64_t sent = s->way[(size_t)windows * WAYS + (size_t)w].sent;

	plan->tail = (struct fsmoe_share){s->all - sent, s->all > sent};
	for (int j = windows - 1; j >= 0; j--)
	{
		struct fsmoe_plan_layer *l = &plan->layer[plan->layers - 1 - j / 2];
		const struct way *way = &s->way[(size_t)(j + 1) * WAYS + (size_t)w];
		uint64_t bytes;

		w = way->parent;
		bytes = way->sent - s->way[(size_t)j * WAYS + (size_t)w].sent;
		*(j % 2 ? &l->dense : &l->moe) = (struct fsmoe_share){bytes, bytes > 0};
	}
}

/* In place of the plan's shares where that takes less. */
static void send(struct sending *s, double *seconds)
{
	const struct fsmoe_plan_problem *p = s->shares->problem;
	const double filled = plan_seconds(s, seconds);
	const int windows = 2 * p->layers;
	int best;

	for (int i = 0; i < p->layers; i++)
		s->all += fsmoe_gradient_of(&p->layer[i]);
	s->way[0] = (struct way){.parent = -1};
	s->nways[0] = 1;
	for (int j = 0; j < windows; j++)
	{
		if (j % 2 == 0 && j > 0)
			s->ready += fsmoe_gradient_of(&p->layer[p->layers - j / 2]);
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
	s.capacity = malloc(options * sizeof(*s.capacity));
	s.amount = malloc((3 * options + 2) * sizeof(*s.amount));
	if (!seconds || !s.way || !s.nways || !s.capacity || !s.amount)
		err = fsmoe_fail(ENOMEM, "no memory to plan %d layers", shares->problem->layers);
	else
		send(&s, seconds);
	free(seconds);
	free(s.way);
	free(s.nways);
	free(s.capacity);
	free(s.amount);
	return err;
}
