/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_CHOOSE_CUH
#define FSMOE_CUDA_CHOOSE_CUH

#include "codelets/cuda/reduce.cuh"

/*
 * What gates have in common: scores, choices, slots. All decisions are those of
 * codelets/cpu/choose.h: scores are computed in the same order of additions, and nothing is fused
 * where the CPU does not.
 */

static constexpr unsigned CHOOSE_THREADS = 256, CHOOSE_WARPS = CHOOSE_THREADS / 32;

/* The products of a with 4 rows of b (n, M) from `first` on: eight running sums and a tree, shared
 * by eight lanes, which all get the results. */
template <class A>
static __device__ __forceinline__ void fixed_dots(const A *a, const float *b, size_t M,
						  size_t first, size_t n, float sum[4])
{
	for (int q = 0; q < 4; q++)
		sum[q] = 0;
#pragma unroll 8
	for (size_t i = threadIdx.x % 8; i < M; i += 8)
		for (int q = 0; q < 4; q++)
			if (first + q < n)
				sum[q] = __fadd_rn(sum[q],
						   __fmul_rn(get(a[i]), b[(first + q) * M + i]));
	for (int q = 0; q < 4; q++)
		for (int step = 4; step > 0; step /= 2)
			sum[q] = __fadd_rn(sum[q], __shfl_xor_sync(FULL_WARP, sum[q], step));
}

/* The logits of a token, to `row`, by one warp: sixteen experts at a time. */
template <class X>
static __device__ void fixed_logits(const X *x,     /* (M) */
				    const float *w, /* (E, M) */
				    float *row,     /* (E) */
				    size_t M, size_t E)
{
	unsigned lane = threadIdx.x % 8, group = threadIdx.x % 32 / 8;

	for (size_t first = 4 * group; first - 4 * group < E; first += 16)
	{
		float sum[4];
		fixed_dots(x, w, M, first, E, sum);
		for (int q = 0; q < 4; q++)
			if (lane == 0 && first + q < E)
				row[first + q] = sum[q];
	}
	__syncwarp();
}

/* By one warp. */
static __device__ void check_logits(const float *row, size_t E, size_t t, fault_to fault)
{
	for (size_t e = threadIdx.x % 32; e < E; e += 32)
		if (!isfinite(row[e]))
			fault.set(FSMOE_FAULT_LOGIT, (long long)t, (long long)e, 0);
}

/* Of two candidates the likelier, of equals the lower number; -1: none. */
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

/* Goes through the group's choices in the order in which slots are given out, all first ones in
 * token order before all second ones or token by token, and numbers those of its expert. */
static __global__ void number_choices(const int32_t *expert, /* (T, k) */
				      int32_t *slot,         /* (T, k) */
				      int32_t *counts,       /* (groups, E) */
				      size_t group, size_t k, size_t capacity, bool by_token)
{
	__shared__ unsigned warp_count[2][CHOOSE_WARPS];
	unsigned warp = threadIdx.x / 32, below = (1u << threadIdx.x % 32) - 1, turn = 0;
	size_t first = blockIdx.y * group * k, position = 0;
	int32_t mine = (int32_t)blockIdx.x;

	for (size_t base = 0; base < group * k; base += CHOOSE_THREADS, turn ^= 1)
	{
		size_t o = base + threadIdx.x, at = position;
		size_t i = first + (by_token ? o : o % group * k + o / group);
		bool hit = o < group * k && expert[i] == mine;
		unsigned ballot = __ballot_sync(FULL_WARP, hit);
		if (threadIdx.x % 32 == 0)
			warp_count[turn][warp] = (unsigned)__popc(ballot);
		__syncthreads();
		for (unsigned w = 0; w < CHOOSE_WARPS; w++)
		{
			at += w < warp ? warp_count[turn][w] : 0;
			position += warp_count[turn][w];
		}
		at += (unsigned)__popc(ballot & below);
		if (hit)
			slot[i] = at < capacity ? (int32_t)(blockIdx.y * capacity + at) : -1;
	}
	if (threadIdx.x == 0)
		counts[(size_t)blockIdx.y * gridDim.x + blockIdx.x] =
			(int32_t)(position < capacity ? position : capacity);
}

#endif
