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

/* Logits: eight lanes share a product, as eight running sums and a tree, and work on so many tokens
 * and experts at once, so that what they read is used often. */
static constexpr unsigned LOGIT_THREADS = 64, LOGIT_TOKENS = 2, LOGIT_EXPERTS = 8;

template <class X> struct token_logits
{
	const X *x;     /* (T, M) */
	const float *w; /* (E, M) */
	float *logits;  /* (T, E) */
	size_t T, M, E;

	/* Of LOGIT_TOKENS tokens from `token` on and LOGIT_EXPERTS experts from `expert` on; those
	 * that there are not are the last one, and not written. */
	__device__ void some(size_t token, size_t expert) const
	{
		float sum[LOGIT_TOKENS][LOGIT_EXPERTS] = {};
		const X *a[LOGIT_TOKENS];
		const float *b[LOGIT_EXPERTS];

		for (unsigned t = 0; t < LOGIT_TOKENS; t++)
			a[t] = x + (token + t < T ? token + t : T - 1) * M;
		for (unsigned e = 0; e < LOGIT_EXPERTS; e++)
			b[e] = w + (expert + e < E ? expert + e : E - 1) * M;
#pragma unroll 4
		for (size_t i = threadIdx.x % 8; i < M; i += 8)
		{
			float v[LOGIT_TOKENS];
			for (unsigned t = 0; t < LOGIT_TOKENS; t++)
				v[t] = get(a[t][i]);
			for (unsigned e = 0; e < LOGIT_EXPERTS; e++)
			{
				float u = b[e][i];
				for (unsigned t = 0; t < LOGIT_TOKENS; t++)
					sum[t][e] = __fadd_rn(sum[t][e], __fmul_rn(v[t], u));
			}
		}
		for (unsigned t = 0; t < LOGIT_TOKENS; t++)
			for (unsigned e = 0; e < LOGIT_EXPERTS; e++)
			{
				for (int step = 4; step > 0; step /= 2)
					sum[t][e] = __fadd_rn(
						sum[t][e],
						__shfl_xor_sync(FULL_WARP, sum[t][e], step));
				if (threadIdx.x % 8 == 0 && token + t < T && expert + e < E)
					logits[(token + t) * E + expert + e] = sum[t][e];
			}
	}
};

template <class X> static __global__ void all_logits(const __grid_constant__ token_logits<X> f)
{
	size_t eight = ((size_t)blockIdx.x * LOGIT_THREADS + threadIdx.x) / 8;

	for (size_t e = 0; e < f.E; e += LOGIT_EXPERTS)
		f.some(eight * LOGIT_TOKENS, e);
}

/* T > 0. */
template <class X> static inline void launch_logits(const token_logits<X> &f, cudaStream_t stream)
{
	const size_t tokens = LOGIT_THREADS / 8 * LOGIT_TOKENS;

	all_logits<<<(unsigned)((f.T + tokens - 1) / tokens), LOGIT_THREADS, 0, stream>>>(f);
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
