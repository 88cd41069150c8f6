/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/bound.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

static int by_rate(const void *a, const void *b)
{
	const struct fsmoe_hull_step *x = a, *y = b;

	if (x->rate != y->rate)
		return x->rate < y->rate ? -1 : 1;
	return x->window - y->window;
}

/* The hull of a window: from each corner to the choice of the least rate. */
static void add_hull(struct fsmoe_bound *b, const struct fsmoe_choices *c, int window)
{
	int at = 0, next;

	do
	{
		double least = b->beta;

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
			b->step[b->nsteps++] = (struct fsmoe_hull_step){
				c->choice[next].extra - c->choice[at].extra, least, window};
			at = next;
		}
	} while (next >= 0);
}

int fsmoe_bound_create(struct fsmoe_bound *b, const struct fsmoe_choices *choices, int n,
		       double beta)
{
	size_t most = 1;

	for (int i = 0; i < n; i++)
		most += (size_t)choices[i].n;
	*b = (struct fsmoe_bound){.beta = beta,
				  .step = malloc(most * sizeof(*b->step)),
				  .bytes = malloc(most * sizeof(*b->bytes)),
				  .gain = malloc(most * sizeof(*b->gain))};
	if (!b->step || !b->bytes || !b->gain)
	{
		fsmoe_bound_destroy(b);
		return fsmoe_fail(ENOMEM, "no memory to spread gradients over %d windows", n);
	}
	for (int i = 0; i < n; i++)
		add_hull(b, &choices[i], i);
	qsort(b->step, (size_t)b->nsteps, sizeof(*b->step), by_rate);
	return 0;
}

void fsmoe_bound_destroy(struct fsmoe_bound *b)
{
	free(b->step);
	free(b->bytes);
	free(b->gain);
	*b = (struct fsmoe_bound){0};
}

void fsmoe_bound_after(struct fsmoe_bound *b, int window)
{
	b->nsums = 1;
	b->bytes[0] = b->gain[0] = 0;
	for (int i = 0; i < b->nsteps; i++)
	{
		const struct fsmoe_hull_step *step = &b->step[i];

		if (step->window <= window)
			continue;
		b->bytes[b->nsums] = b->bytes[b->nsums - 1] + step->extra;
		b->gain[b->nsums] = b->gain[b->nsums - 1] + (b->beta - step->rate) * step->extra;
		b->nsums++;
	}
}

double fsmoe_bound_gain(const struct fsmoe_bound *b, double room, int *place)
{
	int low = *place;

	while (low > 0 && b->bytes[low] > room)
		low--;
	*place = low;
	if (low + 1 == b->nsums)
		return b->gain[low];
	return b->gain[low] + (b->gain[low + 1] - b->gain[low]) * (room - b->bytes[low]) /
				      (b->bytes[low + 1] - b->bytes[low]);
}
