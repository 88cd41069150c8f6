/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/base/unit.h"

#include "generate/generate.h"

#include <math.h>

enum
{
	V = 5,
	DRAWS = 20000
};

/* Probabilities 0.4, 0.05, 0.3, 0.05, 0.2. */
static const double p[V] = {0.4, 0.05, 0.3, 0.05, 0.2};

static void draw(const struct fsmoe_sampling *sampling, double *share)
{
	float logits[V];
	int scratch[V];

	for (int i = 0; i < V; i++)
	{
		logits[i] = (float)log(p[i]) + 3;
		share[i] = 0;
	}
	for (uint64_t i = 0; i < DRAWS; i++)
		share[fsmoe_sample(logits, V, sampling, i, scratch)] += 1.0 / DRAWS;
}

static void expect(const struct fsmoe_sampling *sampling, const double *wanted)
{
	double share[V];

	draw(sampling, share);
	for (int i = 0; i < V; i++)
		/* Five standard deviations of a share of 0.5. */
		if (fabs(share[i] - wanted[i]) > 5 * 0.5 / sqrt(DRAWS) ||
		    (wanted[i] == 0 && share[i] > 0))
			fail_msg("token %d: %g instead of %g", i, share[i], wanted[i]);
}

static void shares_are_probabilities(void **state)
{
	(void)state;
	expect(&(struct fsmoe_sampling){.temperature = 1, .top_p = 1, .seed = 1}, p);
	expect(&(struct fsmoe_sampling){.temperature = 1, .top_p = 1, .top_k = 99, .seed = 2}, p);
}

static void the_likeliest(void **state)
{
	(void)state;
	expect(&(struct fsmoe_sampling){.temperature = 0, .top_p = 1}, (double[V]){1});
	expect(&(struct fsmoe_sampling){.temperature = 1, .top_k = 1, .top_p = 1}, (double[V]){1});
	expect(&(struct fsmoe_sampling){.temperature = 1, .top_p = 0}, (double[V]){1});
	/* Among equals the first. */
	assert_int_equal(fsmoe_sample((float[]){1, 2, 2, 0, 2}, V,
				      &(struct fsmoe_sampling){.top_p = 1}, 0, (int[V]){0}),
			 1);
}

static void top_k_and_top_p(void **state)
{
	(void)state;
	expect(&(struct fsmoe_sampling){.temperature = 1, .top_k = 2, .top_p = 1},
	       (double[V]){0.4 / 0.7, 0, 0.3 / 0.7, 0, 0});
	/* The fewest that make up 0.75: three of them, 0.9 together. */
	expect(&(struct fsmoe_sampling){.temperature = 1, .top_p = 0.75},
	       (double[V]){0.4 / 0.9, 0, 0.3 / 0.9, 0, 0.2 / 0.9});
}

static void temperature(void **state)
{
	double wanted[V], sum = 0;

	(void)state;
	for (int i = 0; i < V; i++)
		sum += wanted[i] = p[i] * p[i];
	for (int i = 0; i < V; i++)
		wanted[i] /= sum;
	expect(&(struct fsmoe_sampling){.temperature = 0.5, .top_p = 1}, wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_probabilities),
		cmocka_unit_test(the_likeliest),
		cmocka_unit_test(top_k_and_top_p),
		cmocka_unit_test(temperature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
