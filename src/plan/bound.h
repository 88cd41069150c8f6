/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_BOUND_H
#define FSMOE_PLAN_BOUND_H

#include "plan/partition.h"

/*
 * What the windows to come could gain at most if they could be chosen in fractions, as the bound of
 * a knapsack: the corners of every window's lower convex hull, best price first.
 */

/* From one corner to the next: so many more bytes at so many seconds each. */
struct fsmoe_hull_step
{
	double extra, rate;
	int window;
};

struct fsmoe_bound
{
	double beta;
	struct fsmoe_hull_step *step; /* of all windows, cheapest first, those worth their price */
	int nsteps;
	double *bytes, *gain; /* sums over the steps of the windows looked at; nsums of them */
	int nsums;
};

int fsmoe_bound_create(struct fsmoe_bound *bound, const struct fsmoe_choices *choices, int n,
		       double beta);
void fsmoe_bound_destroy(struct fsmoe_bound *bound); /* a zeroed one is legal */

/* Looks at the windows after this one from now on. */
void fsmoe_bound_after(struct fsmoe_bound *bound, int window);

/* Seconds that they gain at most by hiding no more than `room` bytes. *place: one in the sums that
 * is not below the right one, nsums - 1 at first; is left there, for less room. */
double fsmoe_bound_gain(const struct fsmoe_bound *bound, double room, int *place);

#endif
