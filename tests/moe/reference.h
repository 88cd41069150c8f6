/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_MOE_REFERENCE_H
#define FSMOE_TESTS_MOE_REFERENCE_H

#include <stddef.h>

/*
 * A Mixture-of-Experts layer in plain loops over tokens and experts, in double, written from the
 * formulas and sharing no line with the library.
 */
struct reference
{
	size_t T, M, H, E, k;                     /* tokens, model, hidden, experts, choices */
	size_t group;                             /* tokens of a routing group */
	double factor;                            /* capacity factor; 0: no limit */
	const double *x, *wg, *w1, *b1, *w2, *b2; /* biases may be NULL */
	const double *w3;                         /* not NULL: the expert is SwiGLU */
	int relu;                                 /* of two matrices; else tanh GELU */
};

size_t reference_capacity(const struct reference *r);

/* Where every token goes; arrays of the caller, any may be NULL. */
struct reference_routing
{
	double *expert, *slot, *weight; /* (T, k) */
	double *counts;                 /* (groups, E) */
	int dropped;
};
void reference_route(const struct reference *r, struct reference_routing *routing);

/* The output of one expert for one row, and what is before its activation; z may be NULL. */
void reference_expert(const struct reference *r, size_t e, const double *row, double *out,
		      double *z);

/* y (T, M); returns how many (token, choice) pairs were dropped. */
int reference_layer(const struct reference *r, double *y);

#endif
