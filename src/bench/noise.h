/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BENCH_NOISE_H
#define FSMOE_BENCH_NOISE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* Element i of a stream of uniform noise of variance scale^2: noise() of bench/peer/common.py, bit
 * for bit (splitmix64 by index). Seed 1 and scale 1 begin with 1.57860434 0.861462772. */
static inline float fsmoe_noise(uint64_t seed, uint64_t i, float scale)
{
	uint64_t z = seed * 0xD1342543DE82EF95u + (i + 1) * 0x9E3779B97F4A7C15u;
	float u;

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	z ^= z >> 31;
	u = (float)(z >> 40) * 0x1p-24f;
	return (u - (0.5f - 0x1p-25f)) * (float)sqrt(12.0) * scale;
}

static inline void fsmoe_noise_fill(float *data, size_t n, uint64_t seed, double scale)
{
	for (size_t i = 0; i < n; i++)
		data[i] = fsmoe_noise(seed, i, (float)scale);
}

#endif
