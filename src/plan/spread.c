/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/partition.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Step 2 by dynamic programming. What matters of the choices up to a window is what they cost and
 * what they hide; a way that another beats in both is dropped, and so is one that cannot catch up
 * even if later windows could be chosen in fractions (a knapsack's bound). What is left is few.
 */

/* A way to have chosen up to a window. */
struct way
{
	double penalty, hidden;
	double hope;        /* what it may come to at best */
	int parent, choice; /* place in all ways; in the window's choices */
};

/* A piece of a window's lower convex hull: so many more bytes at so many seconds each. */
struct step
{
	double extra, rate;
	int window;
};

struct spread
{
	const struct fsmoe_choices *choices;
	int n;
	double beta, whole, ready; /* ready: of the last window */
	struct way *way, *spare;   /* spare: as much room, for merging */
	int nways, room;
	struct step *step; /* of all windows, cheapest rate first, those worth their price */
	int nsteps;
	double *bytes, *gain; /* sums over the steps of later windows; nsums of them */
	int nsums;
	/* The best whole choice met so far: this way, and from `window` on what is best at once. */
	struct way known;
	int window;
	double value;
};

static int no_memory(void)
{
	return fsmoe_fail(ENOMEM, "no memory to spread gradients over windows");
}

/* Room for n more ways, here and in the spare. */
static int reserve(struct spread *s, int n)
{
	const int room = s->nways + n > 2 * s->room ? s->nways + n : 2 * s->room;
	struct way *more;

	if (s->nways + n <= s->room)
		return 0;
	more = realloc(s->way, (size_t)room * sizeof(*more));
	if (more)
		s->way = more;
	free(s->spare);
	s->spare = malloc((size_t)room * sizeof(*s->spare));
	if (!more || !s->spare)
		return no_memory();
	s->room = room;
	return 0;
}

/* --- the bound ---------------------------------------------------------------------------- */

static int by_rate(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	if (x->rate != y->rate)
		return x->rate < y->rate ? -1 : 1;
	return x->window - y->window;
}

/* The hull of a window: from each corner to the choice of the least rate. */
static void add_hull(struct spread *s, int window)
{
	const struct fsmoe_choices *c = &s->choices[window];
	int at = 0, next;

	do
	{
		double least = s->beta;

		next = -1;
		for (int k = at + 1; k < c->n; k++)
		{
			const double extra = c->choice[k].extra - c->choice[at].extra,
				     rate = (c->choice[k].penalty - c->choice[at].penalty) / extra;

			if (extra > 0 && rate < least)
			{
				least = rate;
				next = k;
			}
		}
		if (next >= 0)
		{
			s->step[s->nsteps++] = (struct step){
				c->choice[next].extra - c->choice[at].extra, least, window};
			at = next;
		}
	} while (next >= 0);
}

static int make_bound(struct spread *s)
{
	size_t most = 1;

	for (int i = 0; i < s->n; i++)
		most += (size_t)s->choices[i].n;
	s->step = malloc(most * sizeof(*s->step));
	s->bytes = malloc(most * sizeof(*s->bytes));
	s->gain = malloc(most * sizeof(*s->gain));
	if (!s->step || !s->bytes || !s->gain)
		return no_memory();
	for (int i = 0; i < s->n; i++)
		add_hull(s, i);
	qsort(s->step, (size_t)s->nsteps, sizeof(*s->step), by_rate);
	return 0;
}

/* Sums over the steps of windows after this one. */
static void look_ahead(struct spread *s, int window)
{
	s->nsums = 1;
	s->bytes[0] = s->gain[0] = 0;
	for (int i = 0; i < s->nsteps; i++)
	{
		const struct step *step = &s->step[i];

		if (step->window <= window)
			continue;
		s->bytes[s->nsums] = s->bytes[s->nsums - 1] + step->extra;
		s->gain[s->nsums] = s->gain[s->nsums - 1] + (s->beta - step->rate) * step->extra;
		s->nsums++;
	}
}

/* What a way may come to at best. `at`: a place in the sums that is not below the right one; is
 * left there. */
static double hope(const struct spread *s, const struct way *way, int *at)
{
	const double room = s->ready - way->hidden;
	int low = *at;
	double more;

	while (low > 0 && s->bytes[low] > room)
		low--;
	*at = low;
	more = s->gain[low];
	if (low + 1 < s->nsums)
		more += (s->gain[low + 1] - s->gain[low]) * (room - s->bytes[low]) /
			(s->bytes[low + 1] - s->bytes[low]);
	return s->beta * way->hidden - way->penalty + more + s->whole;
}

/* Whether it may gain more than a millionth of the exchange over what is known. */
static int is_hope(const struct spread *s, const struct way *way)
{
	return way->hope > s->value + 1e-6 * s->beta * s->ready;
}

/* The choice that is best at once; moves the way on. */
static int take_best(const struct spread *s, int window, struct way *way)
{
	const struct fsmoe_choices *c = &s->choices[window];
	double value = -INFINITY;
	int best = 0;

	for (int k = 0; k < c->n; k++)
	{
		const double v = s->beta * fmin(way->hidden + c->choice[k].extra, c->ready) -
				 c->choice[k].penalty;

		if (v > value)
		{
			value = v;
			best = k;
		}
	}
	way->hidden = fmin(way->hidden + c->choice[best].extra, c->ready);
	way->penalty += c->choice[best].penalty;
	return best;
}

static double value_of(const struct spread *s, const struct way *way)
{
	return s->beta * way->hidden - way->penalty +
	       (way->hidden >= s->ready * (1 - 1e-12) ? s->whole : 0);
}

/* What a way surely comes to: remembered when it is the most so far. */
static void try_way(struct spread *s, const struct way *way, int window)
{
	struct way end = *way;
	double value;

	for (int i = window; i < s->n; i++)
		take_best(s, i, &end);
	value = value_of(s, &end);
	if (value > s->value)
	{
		s->value = value;
		s->known = *way;
		s->window = window;
	}
}

/* --- the program -------------------------------------------------------------------------- */

/* Cheapest first, then most hidden. */
static int goes_first(const struct way *x, const struct way *y)
{
	return x->penalty < y->penalty || (x->penalty == y->penalty && x->hidden >= y->hidden);
}

/* Two lists that lie one after the other into one; of equals those of the first go first. */
static void merge(const struct way *way, int first, int middle, int last, struct way *out)
{
	int a = first, b = middle, i = first;

	while (a < middle && b < last)
		out[i++] = goes_first(&way[a], &way[b]) ? way[a++] : way[b++];
	memcpy(out + i, way + a, (size_t)(middle - a) * sizeof(*way));
	i += middle - a;
	memcpy(out + i, way + b, (size_t)(last - b) * sizeof(*way));
}

/* The lists of all choices, list k from start[k] to start[k + 1], into one: pairs of neighbours until
 * one is left. Which pairs depends on nothing but their number: the same everywhere. */
static void merge_all(struct spread *s, int *start, int n)
{
	const int first = start[0];
	struct way *from = s->way, *to = s->spare;

	for (; n > 1; n = (n + 1) / 2)
	{
		struct way *done = to;

		for (int k = 0; k < n; k += 2)
		{
			const int middle = start[k + 1], last = k + 1 < n ? start[k + 2] : middle;

			merge(from, start[k], middle, last, to);
			start[k / 2] = start[k];
		}
		start[(n + 1) / 2] = s->nways;
		to = from;
		from = done;
	}
	if (from != s->way)
		memcpy(s->way + first, from + first, (size_t)(s->nways - first) * sizeof(*s->way));
}

enum
{
	LOOKS = 8,  /* ways that are tried to the end */
	CELLS = 256 /* most ways that go on */
};

/* Of too many ways the most hopeful in each of so many stretches of what they hide. */
static void thin(struct spread *s, int first)
{
	const double low = s->way[first].hidden,
		     apart = (s->way[s->nways - 1].hidden - low) / CELLS;
	int kept = first, cell = -1;
	double most = 0;

	for (int i = first; i < s->nways; i++)
	{
		const int at = (int)fmin((s->way[i].hidden - low) / apart, CELLS - 1);
		const double h = s->way[i].hope;

		if (at == cell && h <= most)
			continue;
		kept += at != cell;
		cell = at;
		most = h;
		s->way[kept - 1] = s->way[i];
	}
	s->nways = kept;
}

/* Keeps, of the ways from `first` on, cheapest first, those that hide more than every cheaper one and are still
 * a hope once some have been tried to the end. */
static void prune(struct spread *s, int first, int window)
{
	const double little = 1e-12 * s->ready; /* sums in another order differ by less */
	double most = -1 - little;
	int kept = first, apart;

	for (int i = first; i < s->nways; i++)
		if (s->way[i].hidden > most + little)
		{
			most = s->way[i].hidden;
			s->way[kept++] = s->way[i];
		}
	s->nways = kept;
	apart = (s->nways - first + LOOKS - 1) / LOOKS + (s->nways == first);
	for (int i = first; i < s->nways; i += apart)
		try_way(s, &s->way[i], window + 1);
	kept = first;
	for (int i = first; i < s->nways; i++)
		if (is_hope(s, &s->way[i]))
			s->way[kept++] = s->way[i];
	s->nways = kept;
	if (s->nways - first > CELLS)
		thin(s, first);
}

/* Every choice at a window after every way so far, which stand cheapest first, but for those that are
 * no hope any more. `start`: room for a number more than there are choices. */
static int extend(struct spread *s, int first, int last, const struct fsmoe_choices *c, int *start)
{
	const int err = reserve(s, (last - first) * c->n);

	if (err)
		return err;
	for (int k = 0; k < c->n; k++)
	{
		const struct fsmoe_choice choice = c->choice[k];
		int at = s->nsums - 1;

		start[k] = s->nways;
		for (int i = first; i < last; i++)
		{
			const struct way *from = &s->way[i];
			struct way *way = &s->way[s->nways];

			*way = (struct way){.penalty = from->penalty + choice.penalty,
					    .hidden = fmin(from->hidden + choice.extra, c->ready),
					    .parent = i,
					    .choice = k};
			way->hope = hope(s, way, &at);
			s->nways += is_hope(s, way);
		}
	}
	start[c->n] = s->nways;
	merge_all(s, start, c->n);
	return 0;
}

static void choose(const struct spread *s, int *chosen)
{
	struct way end = s->known;

	for (int i = s->window; i < s->n; i++)
		chosen[i] = take_best(s, i, &end);
	end = s->known;
	for (int i = s->window - 1; i >= 0; i--)
	{
		chosen[i] = end.choice;
		end = s->way[end.parent];
	}
}

int fsmoe_spread(const struct fsmoe_choices *choices, int n, double beta, double whole, int *chosen,
		 double *gain)
{
	struct spread s = {.choices = choices,
			   .n = n,
			   .beta = beta,
			   .whole = whole,
			   .ready = n > 0 ? choices[n - 1].ready : 0,
			   .value = -INFINITY};
	int first = 0, most = 0, *start, err = reserve(&s, 1024);

	for (int i = 0; i < n; i++)
		most = choices[i].n > most ? choices[i].n : most;
	start = malloc(((size_t)most + 2) * sizeof(*start));
	if (!err && !start)
		err = no_memory();
	if (!err)
		err = make_bound(&s);
	if (!err)
	{
		s.way[s.nways++] = (struct way){.parent = -1, .choice = -1};
		try_way(&s, &s.way[0], 0);
	}
	for (int i = 0; i < n && !err; i++)
	{
		const int last = s.nways;

		look_ahead(&s, i);
		err = extend(&s, first, last, &choices[i], start);
		first = last;
		if (!err)
			prune(&s, first, i);
	}
	for (int i = first; i < s.nways && !err; i++)
		try_way(&s, &s.way[i], n);
	if (!err)
		choose(&s, chosen);
	if (!err && gain)
		*gain = s.value;
	free(start);
	free(s.way);
	free(s.spare);
	free(s.step);
	free(s.bytes);
	free(s.gain);
	return err;
}
