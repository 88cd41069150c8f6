/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_RNG_CUH
#define FSMOE_CUDA_RNG_CUH

#include <stdint.h>

/* The numbers of src/base/rng.c, of a key that was made there. */

static __device__ __forceinline__ uint64_t rng_bits(uint64_t key, uint64_t index)
{
	uint64_t z = key + UINT64_C(0x9e3779b97f4a7c15) * (index + 1);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static __device__ __forceinline__ double rng_uniform(uint64_t key, uint64_t index)
{
	return (double)(rng_bits(key, index) >> 11) * 0x1p-53;
}

static __device__ __forceinline__ double rng_normal(uint64_t key, uint64_t index)
{
	const double u = 1.0 - rng_uniform(key, 2 * index), v = rng_uniform(key, 2 * index + 1);

	return sqrt(-2.0 * log(u)) * cos(2.0 * 3.14159265358979323846 * v);
}

#endif
