/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_RANDOM_PLAN_H
#define FSMOE_TESTS_RANDOM_PLAN_H

#include <fsmoe/plan.h>

enum
{
	RANDOM_LAYERS = 8 /* most */
};

/* A row with random columns and a plan with random degrees, cuts and pieces that it can execute. */
struct random_plan
{
	struct fsmoe_schedule row;
	struct fsmoe_plan plan;
	struct fsmoe_plan_layer layer[RANDOM_LAYERS]; /* what plan.layer points to */
};

/* Floats of gradients that this rank exchanges, by layer. */
void gradient_floats(fsmoe_graph_t graph, int layers, size_t *floats);

/* A pure function of the seed and the sizes. */
void random_plan(struct random_plan *r, uint64_t seed, int layers, const size_t *floats,
		 int most_chunks);

#endif
