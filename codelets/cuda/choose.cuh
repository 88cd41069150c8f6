/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_CHOOSE_CUH
#define FSMOE_CUDA_CHOOSE_CUH

#include "codelets/cuda/reduce.cuh"

/*
 * Shared by gates: choices, slots. All decisions are those of codelets/cpu/choose.h, from
 * the same scores (codelets/cuda/logits.cuh).
 */

static constexpr unsigned CHOOSE_THREADS = 256, CHOOSE_WARPS = CHOOSE_THREADS / 32;

/* By one warp. */
static __device__ void check_logits(const float *row, size_t E, size_t t, fault_to fault)
{
	for (size_t e = threadIdx.x % 32; e < E; e += 32)
		if (!isfinite(row[e]))
			fault.set(FSMOE_FAULT_LOGIT, (long long)t, (long long)e, 0);
}

/* The likelier of two candidates, the lower number among equals; -1: none. */
static __device__ __forceinline__ int better(int a, float va, int b, float vb)
{
	if (b < 0 || (a >= 0 && (va > vb || (va == vb && a < b))))
		return a;
	return b;
}

/* The expert that comes next after `last` (-1: at the start) in the order of preference. */
static __device__ int next_choice(const float *row, int E, int last)
{
	float last_value = last < 0 ? 0 : row[last], value = 0;
	int best = -1;

	for (int e = (int)(threadIdx.x % 32); e < E; e += 32)
	{
		float v = row[e];
		if (last >= 0 && (v > last_value || (v == last_value && e <= last)))
			continue;
		if (better(best, value, e, v) == best && best >= 0)
			continue;
		best = e;
		value = v;
	}
	for (int step = 16; step > 0; step /= 2)
	{
		int other = __shfl_xor_sync(FULL_WARP, best, step);
		float other_value = __shfl_xor_sync(FULL_WARP, value, step);
		if (better(best, value, other, other_value) != best)
		{
			best = other;
			value = other_value;
		}
	}
	return best;
}

/* In place, by one warp; `top` is the greatest. */
static __device__ void softmax(float *row, size_t E, float top)
{
	unsigned lane = threadIdx.x % 32;
	float sum = 0;

	for (size_t e = lane; e < E; e += 32)
		sum += row[e] = expf(row[e] - top);
	sum = warp_sum(sum);
	for (size_t e = lane; e < E; e += 32)
		row[e] /= sum;
	__syncwarp();
}

/* --- slots: one block a group and expert ---------------------------------------------------- */

/* Choices per thread, looked at one after another; it keeps one bit of each. */
static constexpr unsigned NUMBER_THREADS = 1024, NUMBER_RUN = 8;

/* Inclusive prefix sum over the lanes of a warp. */
static __device__ __forceinline__ unsigned warp_sums(unsigned x)
{
	for (unsigned step = 1; step < 32; step *= 2)
	{
		unsigned before = __shfl_up_sync(FULL_WARP, x, step);
		x += threadIdx.x % 32 >= step ? before : 0;
	}
	return x;
}

/* The n-th choice in the order in which slots are given out: all first ones in token order before
 * all second ones, or token by token. */
struct choice_order
{
	size_t group, k, token, choice;
	bool by_token;

	__device__ choice_order(size_t n, size_t group, size_t k, bool by_token)
	    : group(group), k(k), token(by_token ? n / k : n % group),
	      choice(by_token ? n % k : n / group), by_token(by_token)
	{
	}
	__device__ size_t at() const
	{
		return token * k + choice;
	}
	__device__ void next()
	{
		if (by_token ? ++choice == k : ++token == group)
		{
			token = by_token ? token + 1 : 0;
			choice = by_token ? 0 : choice + 1;
		}
	}
};

/* Numbers a group's choices of one expert. Blocks (groups, experts): only of the first may there be
 * more than 65535. */
static __global__ void number_choices(const int32_t *expert, /* (T, k) */
				      int32_t *slot,         /* (T, k) */
				      int32_t *counts,       /* (groups, E) */
				      size_t group, size_t k, size_t capacity, bool by_token)
{
	__shared__ unsigned warp_count[NUMBER_THREADS / 32];
	const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
	const size_t n = group * k, first = blockIdx.x * n;
	const int32_t mine = (int32_t)blockIdx.y;
	size_t position = 0;

	for (size_t base = 0; base < n; base += NUMBER_THREADS * NUMBER_RUN)
	{
		const size_t from = base + threadIdx.x * NUMBER_RUN;
		const choice_order start(from, group, k, by_token);
		choice_order o = start;
		unsigned hits = 0;
#pragma unroll
		for (unsigned r = 0; r < NUMBER_RUN; r++, o.next())
			if (from + r < n && expert[first + o.at()] == mine)
				hits |= 1u << r;
		const unsigned here = __popc(hits), up_to = warp_sums(here);
		__syncthreads(); /* the counts of the turn before were read */
		if (lane == 31)
			warp_count[warp] = up_to;
		__syncthreads();
		const unsigned sums = warp_sums(warp_count[lane]);
		const unsigned all = __shfl_sync(FULL_WARP, sums, 31);
		const unsigned others = __shfl_sync(FULL_WARP, sums, warp > 0 ? warp - 1 : 0);
		size_t at = position + (warp > 0 ? others : 0) + up_to - here;
		o = start;
		for (unsigned r = 0; r < NUMBER_RUN; r++, o.next())
			if (hits >> r & 1)
			{
				slot[first + o.at()] =
					at < capacity ? (int32_t)(blockIdx.x * capacity + at) : -1;
				at++;
			}
		position += all;
	}
	if (threadIdx.x == 0)
		counts[(size_t)blockIdx.x * gridDim.y + blockIdx.y] =
			(int32_t)(position < capacity ? position : capacity);
}

#endif
