/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/placement.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * The adaptive placement of section 6 for a model from end to end. Window 2 j is the mixture of the
 * layer that comes j-th in backward, window 2 j + 1 its dense part.
 *
 * Step 1 fills every window with what hides in it. If nothing is left, that is the best plan. Step
 * 2 is a dynamic program over the bytes sent: a window takes nothing, what hides beside some number
 * of chunks, that up to the end of a bucket before or after, or all there is. A longer AllReduce
 * makes fewer chunks the better choice, and a whole bucket may be better than two starts. The bytes
 * that step 1 sends up to a window and all that are complete by then span a range; of the states
 * that fall into one of its CELLS cells, the one goes on that takes least if the rest is sent at
 * the end.
 */
enum
{
	CELLS = 32, /* doc/cost-model.md has what other numbers give */
	/* The first two states of a window are step 1's, and that which sends everything beside the
	 * dense parts: a plan is never worse than either. */
	FILLED = 0,
	DENSE = 1,
	STATES = CELLS + 2 /* at most */
};

/* A position at which the bytes of a window may end. */
struct candidate
{
	struct fsmoe_gradient_position to;
	double hidden; /* seconds in which they hide, rounded up; less than 0: a bucket ends here */
};

/* The windows up to one are placed. */
struct state
{
	struct candidate sent;
	double seconds, score; /* so far; with all the rest at the end */
	int parent;            /* index in the states of the window before */
};

struct dp
{
	const struct fsmoe_placement *placement;
	struct fsmoe_gradient_position all, ready; /* of the step; complete by the window */
	struct candidate *sent;                    /* after each window: step 1, then the best */
	struct candidate *rounded;
	struct state *state;         /* STATES before each window, and after the last */
	int *nstates;                /* of each */
	struct state best[CELLS];    /* after a window, by cell */
	uint64_t first;              /* where the cells begin */
	double cells;                /* of a byte */
	struct candidate *candidate; /* of the window */
	int ncandidates;
	double least; /* seconds of the window without gradients */
	/* For a layer's mixture: the options that may be best beside some gradient, and the seconds
	 * that hide. They are made of `of`, which equal layers share. */
	const struct fsmoe_option_cost *of;
	struct fsmoe_option_cost *option;
	double *hidden;
	int noptions, nhidden;
};

static int layer_of(const struct dp *d, int j)
{
	return d->placement->problem->layers - 1 - j / 2;
}

static const struct fsmoe_layer_cost *cost_of(const struct dp *d, int j)
{
	return &d->placement->problem->layer[layer_of(d, j)];
}

/* Bytes that become complete by window j: a layer's when its dense part is done. */
static uint64_t arrives(const struct dp *d, int j)
{
	return j % 2 == 0 && j > 0 ? fsmoe_gradient_bytes(cost_of(d, j) + 1) : 0;
}

/* --- step 1 ------------------------------------------------------------------------------- */

/* Equation 6.1: what hides at the best degree without gradients, and beside dense parts. */
static double hidden_seconds(const struct dp *d, int j)
{
	const struct fsmoe_placement_layer *l = &d->placement->layer[layer_of(d, j)];
	const struct fsmoe_option_cost *o = &l->backward[l->best];

	if (j % 2)
		return fsmoe_dense_window(d->placement->row, cost_of(d, j));
	return o->seconds - o->busy;
}

/* Fills windows as fsmoe_fill_windows does, with an alpha for every bucket: the bytes that hide
 * depend on those that come next. `whole` as in fsmoe_gradient_fit. Returns the bytes that are
 * left, without the first layer's: nothing hides those. */
static uint64_t fill_windows(struct dp *d, int windows, double (*whole)(double))
{
	const struct fsmoe_gradient_list *list = &d->placement->list;
	struct fsmoe_gradient_position ready = fsmoe_gradient_position_at(list, 0), sent = ready;

	for (int j = 0; j < windows; j++)
	{
		const double hidden = hidden_seconds(d, j);

		ready = fsmoe_gradient_position_at(list, ready.byte + arrives(d, j));
		sent = fsmoe_gradient_fit(list, sent, hidden, whole, ready);
		d->sent[j] = (struct candidate){sent, hidden};
	}
	return ready.byte - sent.byte;
}

/* --- the time of a window ----------------------------------------------------------------- */

static double window_seconds(const struct dp *d, int j, double gradient)
{
	const struct fsmoe_option_cost *o;

	if (j % 2)
		return fsmoe_dense_seconds(d->placement->row, cost_of(d, j), FSMOE_BACKWARD,
					   gradient);
	o = &d->option[fsmoe_best_option(d->option, d->noptions, gradient)];
	return fmax(o->seconds, o->busy + gradient);
}

/* An option with fewer chunks that takes no longer and keeps its lane no busier is the better one
 * beside any gradient. */
static void find_options(struct dp *d, const struct fsmoe_placement_layer *l)
{
	d->noptions = 0;
	for (int k = 0; k < l->nbackward; k++)
	{
		int beaten = 0;

		for (int m = 0; m < d->noptions && !beaten; m++)
			beaten = d->option[m].seconds <= l->backward[k].seconds &&
				 d->option[m].busy <= l->backward[k].busy;
		if (!beaten)
			d->option[d->noptions++] = l->backward[k];
	}
}

/* Equation 6.5: the breakpoints of a mixture's time, at degrees that take longer than others and
 * hide more. */
static void find_hidden(struct dp *d, const struct fsmoe_placement_layer *l)
{
	d->nhidden = 0;
	for (int k = 0; k < l->nbackward; k++)
	{
		const struct fsmoe_option_cost *o = &l->backward[k];
		int beaten = 0;

		for (int m = 0; m < l->nbackward && !beaten; m++)
			beaten = l->backward[m].seconds < o->seconds &&
				 l->backward[m].seconds - l->backward[m].busy >=
					 o->seconds - o->busy;
		if (!beaten)
			d->hidden[d->nhidden++] = o->seconds - o->busy;
	}
}

/* --- step 2 ------------------------------------------------------------------------------- */

static void begin_window(struct dp *d, int j)
{
	const struct fsmoe_placement_layer *l = &d->placement->layer[layer_of(d, j)];

	if (d->of != l->backward)
	{
		find_options(d, l);
		find_hidden(d, l);
		d->of = l->backward;
	}
	d->ready = fsmoe_gradient_position_at(&d->placement->list, d->ready.byte + arrives(d, j));
	d->first = d->sent[j].to.byte;
	d->cells = (CELLS - 1) / (double)(d->ready.byte - d->first);
	d->least = window_seconds(d, j, 0);
	for (int c = 0; c < CELLS; c++)
		d->best[c].score = INFINITY;
}

/* Seconds of all that is not sent yet, at the end. */
static double tail_seconds(const struct dp *d, struct fsmoe_gradient_position sent)
{
	return fsmoe_gradient_seconds(&d->placement->list, sent, d->all);
}

/* The state after window j. */
static struct state next_state(const struct dp *d, int j, int parent, struct candidate sent,
			       double tail)
{
	const struct state *before = &d->state[(size_t)j * STATES + (size_t)parent];
	const double gradient =
			     fsmoe_gradient_seconds(&d->placement->list, before->sent.to, sent.to),
		     seconds = before->seconds + window_seconds(d, j, gradient);

	return (struct state){sent, seconds, seconds + tail, parent};
}

static struct state *cell_of(struct dp *d, uint64_t sent)
{
	if (sent <= d->first)
		return &d->best[0];
	return &d->best[(int)((double)(sent - d->first) * d->cells)];
}

/* Most candidates are not the best of their cell even if all they send hides: `least` shows it
 * without a search for the degree. Of equal ones the first parent's is kept. */
static void try_candidate(struct dp *d, int j, int parent, struct candidate sent)
{
	const double tail = tail_seconds(d, sent.to),
		     before = d->state[(size_t)j * STATES + (size_t)parent].seconds;
	struct state *cell = cell_of(d, sent.to.byte), next;

	if (before + d->least + tail > cell->score)
		return;
	next = next_state(d, j, parent, sent, tail);
	if (next.score < cell->score || (next.score == cell->score && parent < cell->parent))
		*cell = next;
}

static void add_candidate(struct dp *d, struct fsmoe_gradient_position to, double hidden)
{
	for (int k = 0; k < d->ncandidates; k++)
		if (d->candidate[k].to.byte == to.byte)
			return;
	d->candidate[d->ncandidates++] = (struct candidate){to, hidden};
}

/* Adds the end of the bytes that hide in so many seconds, and the ends of buckets around it. A
 * float that hides in part is better than one that is exposed at the end. */
static void add_around(struct dp *d, struct fsmoe_gradient_position from, double hidden)
{
	const struct fsmoe_gradient_list *list = &d->placement->list;
	const struct fsmoe_gradient_position to = fsmoe_gradient_fit(list, from, hidden, ceil,
								     d->ready),
					     before = fsmoe_gradient_end_before(list, to),
					     after = fsmoe_gradient_end_after(list, to);

	add_candidate(d, to, hidden);
	if (before.byte > from.byte)
		add_candidate(d, before, -1);
	if (after.byte <= d->ready.byte)
		add_candidate(d, after, -1);
}

static void find_candidates(struct dp *d, int j, struct fsmoe_gradient_position from)
{
	d->ncandidates = 0;
	add_candidate(d, from, 0);
	add_candidate(d, d->ready, INFINITY);
	if (j % 2)
		add_around(d, from, hidden_seconds(d, j));
	for (int k = 0; j % 2 == 0 && k < d->nhidden; k++)
		add_around(d, from, d->hidden[k]);
}

static void pass_window(struct dp *d, int j)
{
	const struct state *state = d->state + (size_t)j * STATES;
	struct state *next = d->state + (size_t)(j + 1) * STATES;
	struct candidate to;
	int n = 0;

	begin_window(d, j);
	/* Those that have sent most first: they are the best more often. */
	for (int i = d->nstates[j] - 1; i >= 0; i--)
	{
		find_candidates(d, j, state[i].sent.to);
		for (int k = 0; k < d->ncandidates; k++)
			try_candidate(d, j, i, d->candidate[k]);
	}
	next[n++] = next_state(d, j, FILLED, d->sent[j], tail_seconds(d, d->sent[j].to));
	to = j % 2 ? (struct candidate){d->ready, INFINITY}
		   : (struct candidate){state[DENSE].sent.to, 0};
	next[n++] = next_state(d, j, DENSE, to, tail_seconds(d, to.to));
	for (int c = 0; c < CELLS; c++)
		if (d->best[c].score < INFINITY)
			next[n++] = d->best[c];
	d->nstates[j + 1] = n;
}

/* Replaces the placement of step 1 if another one takes less. */
static void find_best(struct dp *d, int windows)
{
	const struct state *last = d->state + (size_t)windows * STATES;
	int best = FILLED;

	d->ready = fsmoe_gradient_position_at(&d->placement->list, 0);
	d->state[FILLED] = d->state[DENSE] = (struct state){.sent = {d->ready, 0}};
	d->nstates[0] = 2;
	for (int j = 0; j < windows; j++)
		pass_window(d, j);
	for (int i = 1; i < d->nstates[windows]; i++)
		if (last[i].score < last[best].score * (1 - 1e-12))
			best = i;
	for (int j = windows - 1; j >= 0; j--)
	{
		const struct state *state = &d->state[(size_t)(j + 1) * STATES + (size_t)best];

		d->sent[j] = state->sent;
		best = state->parent;
	}
}

/* If nothing is left in the end, a float that hides in part is better sent later: ends that were
 * rounded up move one float back. Keeps the ends if something would be left. */
static void round_down(struct dp *d, int windows)
{
	const struct fsmoe_gradient_list *list = &d->placement->list;
	struct fsmoe_gradient_position ready = fsmoe_gradient_position_at(list, 0), sent = ready;

	for (int j = 0; j < windows; j++)
	{
		const struct candidate *c = &d->sent[j];

		ready = fsmoe_gradient_position_at(list, ready.byte + arrives(d, j));
		sent = c->hidden < 0 ? c->to
				     : fsmoe_gradient_fit(list, sent, c->hidden, floor, ready);
		d->rounded[j] = (struct candidate){sent, c->hidden};
	}
	if (sent.byte == ready.byte)
		memcpy(d->sent, d->rounded, (size_t)windows * sizeof(*d->sent));
}

/* --- the plan ----------------------------------------------------------------------------- */

static void write_shares(const struct dp *d, int windows)
{
	struct fsmoe_plan *plan = d->placement->plan;
	uint64_t from = 0;

	for (int j = 0; j < windows; j++)
	{
		struct fsmoe_plan_layer *l = &plan->layer[layer_of(d, j)];
		const uint64_t bytes = d->sent[j].to.byte - from;

		*(j % 2 ? &l->dense : &l->moe) = (struct fsmoe_share){bytes, bytes > 0};
		from += bytes;
	}
	plan->tail = (struct fsmoe_share){d->all.byte - from, d->all.byte > from};
}

static int create_dp(struct dp *d, const struct fsmoe_placement *placement, size_t windows)
{
	size_t options = 1;
	uint64_t all = 0;

	*d = (struct dp){.placement = placement};
	for (int i = 0; i < placement->problem->layers; i++)
	{
		all += fsmoe_gradient_bytes(&placement->problem->layer[i]);
		if ((size_t)placement->layer[i].nbackward > options)
			options = (size_t)placement->layer[i].nbackward;
	}
	d->all = fsmoe_gradient_position_at(&placement->list, all);
	d->sent = malloc(windows * sizeof(*d->sent));
	d->rounded = malloc(windows * sizeof(*d->rounded));
	d->state = malloc((windows + 1) * STATES * sizeof(*d->state));
	d->nstates = malloc((windows + 1) * sizeof(*d->nstates));
	d->option = malloc(options * sizeof(*d->option));
	d->hidden = malloc(options * sizeof(*d->hidden));
	d->candidate = malloc((3 * options + 2) * sizeof(*d->candidate));
	if (d->sent && d->rounded && d->state && d->nstates && d->option && d->hidden &&
	    d->candidate)
		return 0;
	return fsmoe_fail(ENOMEM, "no memory to plan %d layers", placement->problem->layers);
}

int fsmoe_place_adaptive(struct fsmoe_placement *placement)
{
	const int windows = 2 * placement->problem->layers;
	struct dp d;
	int err = create_dp(&d, placement, (size_t)windows);

	if (!err)
	{
		if (fill_windows(&d, windows, floor))
		{
			fill_windows(&d, windows, ceil);
			find_best(&d, windows);
			round_down(&d, windows);
		}
		write_shares(&d, windows);
	}
	free(d.sent);
	free(d.rounded);
	free(d.state);
	free(d.nstates);
	free(d.option);
	free(d.hidden);
	free(d.candidate);
	return err;
}
