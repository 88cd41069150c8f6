/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_MOE_GATES_H
#define FSMOE_TESTS_MOE_GATES_H

#include "reference.h"

#include <stdint.h>

/*
 * Every gate in plain loops, in double, from the formulas of their papers and sharing no line with
 * the library: ranks are found by counting who comes before, nothing is sorted.
 */
struct reference_gate
{
	const char *name, *drop, *weights; /* of the gate; options, NULL: none */
	/* Sizes, x, experts; `factor` for the capacity; wg is unused. */
	struct reference r;
	/* Parameters "weight", "noise", "projection", "temperature", "phi"; NULL: no such. */
	const double *weight, *noise, *projection, *temperature, *phi;
	size_t rank;         /* of the projection, where there is one */
	uint64_t seed, step; /* of the noise */
	uint64_t stream;     /* of the layer */
};

/* Whether a gate scores by cosines over a temperature. */
int reference_gate_is_cosine(const char *name);

/* dispatch, combine (T, E, C): what of token t goes to position p of expert e in t's group, and
 * what comes back of it; positions that nobody has are 0. Of lists dispatch is 0 and 1. Returns 0
 * when there is no such gate here. */
int reference_gate_route(const struct reference_gate *g, double *dispatch, double *combine);

/* The layer's output (T, M) by those. 0: no such gate. */
int reference_gate_layer(const struct reference_gate *g, double *y);

/* Each loss as the mean over tokens: balance, importance, z. 0: no such gate, or it has none. */
int reference_gate_losses(const struct reference_gate *g, double loss[3]);

#endif
