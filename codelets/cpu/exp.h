/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_KERNEL_EXP_H
#define FSMOE_KERNEL_EXP_H

#include "codelets/cpu/real.h"

/*
 * exp() for loops. A call of libm's keeps gcc from making vectors of a loop, and then GELU takes
 * longer than the matrix product before it (three times as long; now a sixth of it). So in float
 * there is a polynomial: within 2 ulp, 0 below -87.68 (where floats become subnormal), infinite
 * above 88.38, NaN of NaN. The double kernels are the reference and call libm.
 */

#if FSMOE_KERNEL_REAL == 32
static inline real fast_exp(real x)
{
	/* x = n log 2 + r: adding and taking away 1.5 * 2^23 rounds to an integer, which stands in
	 * the low bits in between. */
	const float magic = 12582912.0f;
	union
	{
		float f;
		int32_t i;
	} shifted = {.f = x * 1.44269504f + magic}, power, y;
	float n = shifted.f - magic;
	float r = x - n * 0.693359375f + n * 2.12194440e-4f; /* log 2 in two parts */
	/* The series of e^r to the seventh power: |r| < 0.35, so off by less than 1e-8. */
	float e = 1.0f / 5040;
	e = e * r + 1.0f / 720;
	e = e * r + 1.0f / 120;
	e = e * r + 1.0f / 24;
	e = e * r + 1.0f / 6;
	e = e * r + 0.5f;
	e = e * r * r + r + 1;
	power.i = (int32_t)(((uint32_t)shifted.i << 23) + 0x3f800000); /* 2^n */
	y.f = e * power.f;
	/* 2^n is 0 from -127 on and infinite from 128 on; beyond, the shift above is meaningless.
	 * Masks, because gcc makes no vectors of branches. */
	int32_t under = -(int32_t)(x < -88), over = -(int32_t)(x > 89);
	y.i = (y.i & ~(under | over)) | (over & 0x7f800000);
	return y.f;
}
#else
static inline real fast_exp(real x)
{
	return exp(x);
}
#endif

/* Eight maxima side by side, which gcc makes vectors of; NaN counts only where it is first. */
static inline real row_max(const real *x, size_t n)
{
	real lane[8], max = x[0];
	size_t i = 0;

	for (size_t l = 0; l < 8; l++)
		lane[l] = max;
	for (; i + 8 <= n; i += 8)
		for (size_t l = 0; l < 8; l++)
			lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
	for (; i < n; i++)
		max = x[i] > max ? x[i] : max;
	for (size_t l = 0; l < 8; l++)
		max = lane[l] > max ? lane[l] : max;
	return max;
}

#endif
