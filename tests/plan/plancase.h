/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PLAN_PLANCASE_H
#define TESTS_PLAN_PLANCASE_H

/* Shared by the tests of plans. */
#include "tests/base/unit.h"

#include "base/rng.h"
#include "plan/layer_walk.h"

#include <math.h>

/* Numbers of a stream, one after the other. */
struct draw
{
	uint64_t key, next;
};

static inline double uniform(struct draw *d)
{
	return fsmoe_rng_uniform(d->key, d->next++);
}

/* Even in the logarithm. */
static inline double between(struct draw *d, double low, double high)
{
	return low * exp(uniform(d) * log(high / low));
}

static inline int below(struct draw *d, int n)
{
	return (int)(fsmoe_rng_bits(d->key, d->next++) % (uint64_t)n);
}

static inline struct fsmoe_stage random_stage(struct draw *d, double alpha, double seconds)
{
	return (struct fsmoe_stage){between(d, alpha / 4, alpha * 4), 1e-9,
				    1e9 * between(d, seconds / 10, seconds * 10)};
}

/* A layer of some milliseconds on some machine. */
static inline struct fsmoe_layer_cost random_layer(struct draw *d)
{
	struct fsmoe_layer_cost c = {
		.alltoall = random_stage(d, 2e-4, 5e-3),
		.allgather = random_stage(d, 1e-4, 4e-3),
		.reduce_scatter = random_stage(d, 1e-4, 4e-3),
		.expert = random_stage(d, 1e-4, 5e-3),
		.dense_forward = between(d, 1e-4, 1e-2),
		.dense_gather = between(d, 1e-5, 1e-3),
		.dense_scatter = between(d, 1e-5, 1e-3),
		.gradient_bytes = 4 * floor(between(d, 1e5, 5e7) / 4),
	};

	c.expert_input = c.expert_weights = c.expert;
	c.dense_backward = 2 * c.dense_forward;
	return c;
}

static inline double step_seconds(const struct fsmoe_plan *plan)
{
	return plan->forward + plan->backward + plan->tail_seconds;
}

/* A file of the tree. */
static inline const char *tree_path(const char *name)
{
	static char path[4096];
	const char *top = getenv("top_srcdir");

	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", name);
	return path;
}

#endif
