/* SPDX-License-Identifier: Apache-2.0 */
#define FSMOE_KERNEL_REAL 32
#include "codelets/cpu/exp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* The exponential of the float kernels against libm's in double. */

static float float_of(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

/* Every 997th float between the bounds, both signs: four million of them. */
static void accuracy(void **state)
{
	(void)state;
	for (uint32_t bits = 0; bits < 0x7f800000; bits += 997)
		for (int sign = 0; sign < 2; sign++)
		{
			float x = float_of(bits | (uint32_t)sign << 31);
			if (x < -87.3f || x > 88.3f)
				continue;
			double want = exp((double)x), got = (double)fast_exp(x);
			double ulp = (double)(nextafterf((float)want, INFINITY) - (float)want);
			if (!(fabs(got - want) <= 2 * ulp))
				fail_msg("exp(%.9g) is %.9g, expected %.9g, off by %.2f ulp",
					 (double)x, got, want, fabs(got - want) / ulp);
		}
}

/* Whole loops, so that the vector code is what runs. */
static void ends(void **state)
{
	static const float x[] = {0,         -0.0f, -88,  -89,   -1000,    -1e30f,
				  -INFINITY, 89,    1000, 1e30f, INFINITY, 1};
	float y[12];

	(void)state;
	for (int i = 0; i < 12; i++)
		y[i] = fast_exp(x[i]);
	assert_true(y[0] == 1 && y[1] == 1);
	for (int i = 2; i < 7; i++)
		assert_true(y[i] == 0);
	for (int i = 7; i < 11; i++)
		assert_true(isinf(y[i]) && y[i] > 0);
	assert_true(isnan(fast_exp(NAN)) && isnan(fast_exp(-NAN)));
}

static void largest(void **state)
{
	float x[37];

	(void)state;
	for (size_t n = 1; n <= 37; n++)
		for (size_t at = 0; at < n; at++)
		{
			for (size_t i = 0; i < n; i++)
				x[i] = -3 - (float)(i % 5);
			x[at] = -2;
			assert_true(row_max(x, n) == -2);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accuracy),
		cmocka_unit_test(ends),
		cmocka_unit_test(largest),
	};

	return cmocka_run_group_tests_name("exp", tests, NULL, NULL);
}
