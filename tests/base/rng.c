/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/rng.h"

#include <math.h>

/* Every run depends on these numbers: a change here changes every seed. */
static void golden_values(void **state)
{
	(void)state;
	/* splitmix64 from state 0, as its authors' code prints it. */
	assert_true(fsmoe_rng_bits(0, 0) == UINT64_C(0xe220a8397b1dcdaf));
	assert_true(fsmoe_rng_bits(0, 1) == UINT64_C(0x6e789e6aa1b965f4));
	assert_true(fsmoe_rng_bits(0, 2) == UINT64_C(0x06c45d188009454f));
	assert_true(fsmoe_rng_key(1, "h.0.attn.wq") == UINT64_C(0xbf1aef963eb5ead2));
	assert_true(fsmoe_rng_subkey(1, 2) == UINT64_C(0x985a750f3bb4ddbf));
	assert_true(fabs(fsmoe_rng_uniform(fsmoe_rng_key(1, "a"), 0) - 0.5812238800812507) < 1e-15);
	assert_true(fabs(fsmoe_rng_normal(fsmoe_rng_key(1, "a"), 0) - 0.11836633420871713) < 1e-12);
	assert_int_equal(fsmoe_rng_permute(7, 1000, 0), 511);
}

static void uniform_is_uniform(void **state)
{
	enum
	{
		N = 200000,
		BINS = 50
	};
	static int bin[BINS];
	const uint64_t key = fsmoe_rng_key(3, "uniform");
	double sum = 0, chi2 = 0;

	(void)state;
	for (int i = 0; i < N; i++)
	{
		const double u = fsmoe_rng_uniform(key, (uint64_t)i);

		assert_true(u >= 0 && u < 1);
		sum += u;
		bin[(int)(u * BINS)]++;
	}
	/* Five standard deviations: of the mean, and of chi square with BINS - 1 degrees. */
	assert_true(fabs(sum / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
	for (int b = 0; b < BINS; b++)
		chi2 += pow(bin[b] - (double)N / BINS, 2) / ((double)N / BINS);
	assert_true(fabs(chi2 - (BINS - 1)) < 5 * sqrt(2.0 * (BINS - 1)));
}

static void normal_has_its_moments(void **state)
{
	/* Mean and variance of x, x^2, x^3, x^4 under the normal law. */
	static const double mean[] = {0, 1, 0, 3}, variance[] = {1, 2, 15, 96};
	const int n = 200000;
	const uint64_t key = fsmoe_rng_key(3, "normal");
	double sum[4] = {0}, lag = 0, before = 0;

	(void)state;
	for (int i = 0; i < n; i++)
	{
		const double x = fsmoe_rng_normal(key, (uint64_t)i);

		for (int p = 0; p < 4; p++)
			sum[p] += pow(x, p + 1);
		lag += x * before;
		before = x;
	}
	for (int p = 0; p < 4; p++)
		assert_true(fabs(sum[p] / n - mean[p]) < 5 * sqrt(variance[p] / n));
	assert_true(fabs(lag / n) < 5 / sqrt(n));
}

static void streams_do_not_resemble_each_other(void **state)
{
	static const char *const names[] = {"a", "b", "h.0.w", "h.1.w", "h.0.w1", ""};
	const int n = 20000, count = sizeof(names) / sizeof(names[0]);

	(void)state;
	for (int a = 0; a < 2 * count; a++)
		for (int b = 0; b < a; b++)
		{
			/* Two seeds, every name. */
			const uint64_t ka = fsmoe_rng_key((uint64_t)(a / count), names[a % count]);
			const uint64_t kb = fsmoe_rng_key((uint64_t)(b / count), names[b % count]);
			double product = 0;

			for (int i = 0; i < n; i++)
				product += fsmoe_rng_normal(ka, (uint64_t)i) *
					   fsmoe_rng_normal(kb, (uint64_t)i);
			assert_true(fabs(product / n) < 5 / sqrt(n));
		}
}

static void permutation_is_a_bijection(void **state)
{
	static const uint64_t sizes[] = {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1000, 4097, 65536};
	static unsigned char seen[65536];

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		for (uint64_t key = 0; key < 5; key++)
		{
			memset(seen, 0, sizeof(seen));
			for (uint64_t i = 0; i < sizes[s]; i++)
			{
				const uint64_t at = fsmoe_rng_permute(key, sizes[s], i);

				assert_true(at < sizes[s]);
				assert_int_equal(seen[at]++, 0);
			}
		}
	/* The largest sizes only have to end, below n. */
	assert_true(fsmoe_rng_permute(1, UINT64_MAX, UINT64_MAX - 1) < UINT64_MAX);
	assert_true(fsmoe_rng_permute(1, UINT64_C(1) << 62, 5) < UINT64_C(1) << 62);
}

static void permutation_mixes(void **state)
{
	/* Each of 10 elements comes to each of 10 places equally often over many keys. */
	enum
	{
		KEYS = 20000,
		N = 10
	};
	static int count[N][N];
	const double expected = (double)KEYS / N;

	(void)state;
	for (uint64_t key = 0; key < KEYS; key++)
		for (uint64_t i = 0; i < N; i++)
			count[i][fsmoe_rng_permute(fsmoe_rng_subkey(1, key), N, i)]++;
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++)
			assert_true(fabs(count[i][j] - expected) < 5 * sqrt(expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_values),
		cmocka_unit_test(uniform_is_uniform),
		cmocka_unit_test(normal_has_its_moments),
		cmocka_unit_test(streams_do_not_resemble_each_other),
		cmocka_unit_test(permutation_is_a_bijection),
		cmocka_unit_test(permutation_mixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
