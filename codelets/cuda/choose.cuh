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

/* Logits: eight lanes share a product, as eight running sums and a tree. A block works on so many
 * tokens and experts at once, whose numbers it brings into shared memory piece by piece: what is
 * added in which order leaves too few threads to hide the way to memory otherwise. */
static constexpr unsigned LOGIT_TOKENS = 16, LOGIT_EXPERTS = 8, LOGIT_THREADS = 8 * LOGIT_TOKENS,
			  LOGIT_SPAN = 256, LOGIT_PITCH = LOGIT_SPAN + 8 /* no two lanes a bank */;

template <class X> struct token_logits
{
	const X *x;     /* (T, M) */
	const float *w; /* (E, M) */
	float *logits;  /* (T, E) */
	size_t T, M, E;
};

/* Columns [at, at + LOGIT_SPAN) of `rows` rows from `first` on; zeros where there are none. */
template <class X>
static __device__ __forceinline__ void fetch(const X *x, size_t first, size_t n, size_t at,
					     size_t M, unsigned rows, float *to)
{
#pragma unroll 8
	for (unsigned k = threadIdx.x; k < rows * LOGIT_SPAN; k += LOGIT_THREADS)
	{
		size_t row = first + k / LOGIT_SPAN, column = at + k % LOGIT_SPAN;
		to[k / LOGIT_SPAN * LOGIT_PITCH + k % LOGIT_SPAN] =
			row < n && column < M ? get(x[row * M + column]) : 0;
	}
}

template <class X> static __global__ void all_logits(const __grid_constant__ token_logits<X> f)
{
	__shared__ float x[LOGIT_TOKENS * LOGIT_PITCH], w[LOGIT_EXPERTS * LOGIT_PITCH];
	unsigned lane = threadIdx.x % 8, mine = threadIdx.x / 8;
	size_t first = (size_t)blockIdx.x * LOGIT_TOKENS,
	       expert = (size_t)blockIdx.y * LOGIT_EXPERTS;
	float sum[LOGIT_EXPERTS] = {};

	for (size_t at = 0; at < f.M; at += LOGIT_SPAN)
	{
		unsigned n = f.M - at < LOGIT_SPAN ? (unsigned)(f.M - at) : LOGIT_SPAN;
		__syncthreads();
		fetch(f.x, first, f.T, at, f.M, LOGIT_TOKENS, x);
		fetch(f.w, expert, f.E, at, f.M, LOGIT_EXPERTS, w);
		__syncthreads();
#pragma unroll 4
		for (unsigned i = lane; i < n; i += 8)
			for (unsigned e = 0; e < LOGIT_EXPERTS; e++)
				sum[e] = __fadd_rn(sum[e], __fmul_rn(x[mine * LOGIT_PITCH + i],
								     w[e * LOGIT_PITCH + i]));
	}
	for (unsigned e = 0; e < LOGIT_EXPERTS; e++)
	{
		for (int step = 4; step > 0; step /= 2)
			sum[e] = __fadd_rn(sum[e], __shfl_xor_sync(FULL_WARP, sum[e], step));
		if (lane == 0 && first + mine < f.T && expert + e < f.E)
			f.logits[(first + mine) * f.E + expert + e] = sum[e];
	}
}

/* T > 0. */
template <class X> static inline void launch_logits(const token_logits<X> &f, cudaStream_t stream)
{
	const dim3 grid((unsigned)((f.T + LOGIT_TOKENS - 1) / LOGIT_TOKENS),
			(unsigned)((f.E + LOGIT_EXPERTS - 1) / LOGIT_EXPERTS));

	all_logits<<<grid, LOGIT_THREADS, 0, stream>>>(f);
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
