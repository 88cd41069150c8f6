/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/bound.h"
#include "plan/partition.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

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

/* The cheapest way, of those that end in one choice, that was not looked at yet; its parent. */
struct head
{
	double penalty, hidden;
	int parent, choice;
};

struct spread
{
	const struct fsmoe_choices *choices;
	int n;
	double beta, whole, ready; /* ready: of the last window */
	struct way *way;
	int nways, room;
	struct head *head; /* of a window's choices */
	struct fsmoe_bound bound;
	/* The best whole choice met so far: this way, and from `window` on what is best at once. */
	struct way known;
	int window;
	double value;
};

static int no_memory(void)
{
	return fsmoe_fail(ENOMEM, "no memory to spread gradients over windows");
}

/* Room for n more ways. */
static int reserve(struct spread *s, int n)
{
	const int room = s->nways + n > 2 * s->room ? s->nways + n : 2 * s->room;
	struct way *more;

	if (s->nways + n <= s->room)
		return 0;
	more = realloc(s->way, (size_t)room * sizeof(*more));
	if (!more)
		return no_memory();
	s->way = more;
	s->room = room;
	return 0;
}

/* fmin() is a call, to care for what is no number. */
static double lesser(double x, double y)
{
	return x < y ? x : y;
}

/* --- what a way comes to ------------------------------------------------------------------ */

/* At best. `place`: as fsmoe_bound_gain has it. */
static double hope(const struct spread *s, const struct way *way, int *place)
{
	return s->beta * way->hidden - way->penalty +
	       fsmoe_bound_gain(&s->bound, s->ready - way->hidden, place) + s->whole;
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
		const double v = s->beta * lesser(way->hidden + c->choice[k].extra, c->ready) -
				 c->choice[k].penalty;

		if (v > value)
		{
			value = v;
			best = k;
		}
	}
	way->hidden = lesser(way->hidden + c->choice[best].extra, c->ready);
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

/* Keeps, of the ways from `first` on, cheapest first, those that hide more than every cheaper one
 * and are still a hope once some have been tried to the end. */
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

/* To the next way with this choice that hides more than `most`; of ways that hide all there is the
 * first is the cheapest. At the end penalty is INFINITY. */
static void advance(const struct spread *s, int last, const struct fsmoe_choices *c, double most,
		    struct head *head)
{
	const struct fsmoe_choice choice = c->choice[head->choice];
	int i = head->hidden < c->ready ? head->parent + 1 : last;

	while (i < last && lesser(s->way[i].hidden + choice.extra, c->ready) <= most)
		i++;
	head->parent = i;
	head->penalty = INFINITY;
	if (i < last)
	{
		head->hidden = lesser(s->way[i].hidden + choice.extra, c->ready);
		head->penalty = s->way[i].penalty + choice.penalty;
	}
}

/* Cheapest first, then most hidden, then in the order of choices. */
static int goes_first(const struct head *x, const struct head *y)
{
	if (x->penalty != y->penalty)
		return x->penalty < y->penalty;
	return x->hidden != y->hidden ? x->hidden > y->hidden : x->choice < y->choice;
}

/* The first of n heads goes where it belongs among the others, which stand in order. */
static void sink(struct head *head, int n)
{
	const struct head first = head[0];
	int i = 0;

	for (; i + 1 < n && goes_first(&head[i + 1], &first); i++)
		head[i] = head[i + 1];
	head[i] = first;
}

/* Every choice at a window after every way so far, cheapest first, but for those that hide no more
 * than a cheaper one and those that are no hope any more. Ways up to `last` stand cheapest
 * first. */
static int extend(struct spread *s, int first, int last, const struct fsmoe_choices *c)
{
	const int err = reserve(s, (last - first) * c->n);
	struct head *head = s->head;
	double most = -1;
	int place = s->bound.nsums - 1;

	if (err)
		return err;
	for (int k = c->n - 1; k >= 0; k--)
	{
		head[k] = (struct head){.hidden = -1, .parent = first - 1, .choice = k};
		advance(s, last, c, most, &head[k]);
		sink(&head[k], c->n - k);
	}
	for (; head->penalty < INFINITY; sink(head, c->n))
	{
		struct way *way = &s->way[s->nways];
		int at = place;

		if (head->hidden > most)
		{
			*way = (struct way){head->penalty, head->hidden, 0, head->parent,
					    head->choice};
			way->hope = hope(s, way, &at);
			if (is_hope(s, way))
			{
				s->nways++;
				most = way->hidden;
				place = at;
			}
		}
		advance(s, last, c, most, head);
	}
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
	int first = 0, most = 0, err = reserve(&s, 1024);

	for (int i = 0; i < n; i++)
		most = choices[i].n > most ? choices[i].n : most;
	s.head = malloc(((size_t)most + 1) * sizeof(*s.head));
	if (!err && !s.head)
		err = no_memory();
	if (!err)
		err = fsmoe_bound_create(&s.bound, choices, n, beta);
	if (!err)
	{
		s.way[s.nways++] = (struct way){.parent = -1, .choice = -1};
		try_way(&s, &s.way[0], 0);
	}
	for (int i = 0; i < n && !err; i++)
	{
		const int last = s.nways;

		fsmoe_bound_after(&s.bound, i);
		err = extend(&s, first, last, &choices[i]);
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
	free(s.way);
	free(s.head);
	fsmoe_bound_destroy(&s.bound);
	return err;
}
