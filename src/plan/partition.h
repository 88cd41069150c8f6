/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_PARTITION_H
#define FSMOE_PLAN_PARTITION_H

/*
 * Where gradients go, as two small problems without layers in them. Windows stand in the order of
 * time.
 */

/* A stretch of backward in which so many bytes of gradients hide. */
struct fsmoe_window
{
	double arrives;  /* bytes that are ready from its start on, not before */
	double capacity; /* bytes that hide */
	double filled;   /* out: bytes that travel in it */
	double left;     /* out: of what arrived here, what found no window */
};

/* Bytes that an AllReduce of that many seconds sums; 0 when it would only start. */
double fsmoe_allreduce_bytes(double alpha, double beta, double seconds);

/* Step 1: every window, in turn, takes what is there, the newest first, up to its capacity. */
void fsmoe_fill_windows(struct fsmoe_window *window, int n);

/* A choice at a window: for `penalty` more seconds it hides `extra` more bytes. The first of a
 * window is {0, 0}; both ascend. */
struct fsmoe_choice
{
	double penalty, extra;
};

struct fsmoe_choices
{
	const struct fsmoe_choice *choice;
	int n;
	double ready; /* bytes left over that exist by this window, this and earlier ones together:
			 ascending; never more than this hides up to here */
};

/*
 * Step 2: chooses at every window so that beta * (bytes hidden) - (penalties) is greatest, plus
 * `whole` when nothing is left. chosen[i] is the place in choices[i]. A dynamic program over the
 * (penalty, hidden) that no other choice beats in both: within a millionth of beta * ready of the
 * best there is, as long as few enough ways compete (doc/cost-model.md). *gain may be NULL.
 * -ENOMEM.
 */
int fsmoe_spread(const struct fsmoe_choices *choices, int n, double beta, double whole, int *chosen,
		 double *gain);

#endif
