/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include "base/hash.h"

#include <math.h>
#include <string.h>

/* The finalizer of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64 bits that avalanches. */
static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

uint64_t fsmoe_rng_key(uint64_t seed, const char *name)
{
	const uint64_t hash = fsmoe_hash(FSMOE_HASH_START, name, strlen(name));

	/* Both go through the mixer: seeds 1, 2, 3 and names that differ in their last letter
	 * must not give neighbouring streams. */
	return mix(mix(seed + GOLDEN) ^ hash);
}

uint64_t fsmoe_rng_subkey(uint64_t key, uint64_t index)
{
	/* Another constant than the numbers', so that a subkey is no number of its stream. */
	return mix(mix(key ^ UINT64_C(0xd6e8feb86659fd93)) + GOLDEN * (index + 1));
}

uint64_t fsmoe_rng_bits(uint64_t key, uint64_t index)
{
	/* This is splitmix64 started at `key`: its state advances by GOLDEN, so its n-th number
	 * can be had at once. */
	return mix(key + GOLDEN * (index + 1));
}

double fsmoe_rng_uniform(uint64_t key, uint64_t index)
{
	return (double)(fsmoe_rng_bits(key, index) >> 11) * 0x1p-53;
}

double fsmoe_rng_normal(uint64_t key, uint64_t index)
{
	/* Box-Muller, its cosine half only: one index, one number. 1 - u lies in (0, 1]. */
	const double u = 1.0 - fsmoe_rng_uniform(key, 2 * index);
	const double v = fsmoe_rng_uniform(key, 2 * index + 1);

	return sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
}

/* One walk through a balanced Feistel network on 2 * half bits. */
static uint64_t feistel(uint64_t key, unsigned half, uint64_t value)
{
	const uint64_t mask = (UINT64_C(1) << half) - 1;
	uint64_t left = value >> half, right = value & mask;

	for (unsigned round = 0; round < 6; round++)
	{
		const uint64_t next = left ^ (fsmoe_rng_bits(key + round, right) & mask);

		left = right;
		right = next;
	}
	return left << half | right;
}

uint64_t fsmoe_rng_permute(uint64_t key, uint64_t n, uint64_t index)
{
	unsigned half = 1;

	if (n < 2)
		return 0;
	while (half < 32 && UINT64_C(1) << (2 * half) < n)
		half++;
	/* The network permutes 4^half values, at most 4 n: those not below n are walked over, and
	 * the walk comes back to a value below n because it is a cycle. */
	do
		index = feistel(key, half, index);
	while (index >= n);
	return index;
}
