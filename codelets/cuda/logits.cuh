/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_LOGITS_CUH
#define FSMOE_CUDA_LOGITS_CUH

#include "codelets/cuda/launch.cuh"

/*
 * Scores of tokens for experts, in the CPU's order of additions, so that all decisions are the
 * CPU's: eight running sums over every eighth column and a tree, and nothing is fused. A block has
 * a tile of rows and weights in shared memory; eight threads share a token, each of them one of the
 * sums for four experts.
 */
static constexpr unsigned LOGIT_TOKENS = 32, LOGIT_EXPERTS = 4, LOGIT_COLUMNS = 256,
			  LOGIT_THREADS = 256;

/* Rows are apart so that the four tokens of a warp read from different banks. */
struct logit_tile
{
	float x[LOGIT_TOKENS][LOGIT_COLUMNS + 8];
	float4 w[LOGIT_COLUMNS]; /* of a column, four experts */
};

/* Columns from `base` on; zeros where there are none. */
template <int V, class X>
static __device__ __forceinline__ void fill_tile(logit_tile &tile, const X *x, const float *w,
						 size_t token, size_t expert, size_t base, size_t T,
						 size_t M, size_t E)
{
	constexpr unsigned packs = LOGIT_COLUMNS / V;
	float b[LOGIT_EXPERTS];

#pragma unroll 4
	for (unsigned i = threadIdx.x; i < LOGIT_TOKENS * packs; i += LOGIT_THREADS)
	{
		size_t t = token + i / packs, m = base + i % packs * V;
		pack<V> a = {};
		if (t < T && m < M)
			a = load<V>(x + t * M + m);
		store<V>(&tile.x[i / packs][i % packs * V], a);
	}
	for (unsigned q = 0; q < LOGIT_EXPERTS; q++)
	{
		size_t m = base + threadIdx.x;
		b[q] = expert + q < E && m < M ? w[(expert + q) * M + m] : 0;
	}
	tile.w[threadIdx.x] = make_float4(b[0], b[1], b[2], b[3]);
}

template <int V, class X>
static __global__ void logits_kernel(const X *x,     /* (T, M) */
				     const float *w, /* (E, M) */
				     float *logits,  /* (T, E) */
				     size_t T, size_t M, size_t E)
{
	__shared__ logit_tile tile;
	const unsigned mine = threadIdx.x / 8, lane = threadIdx.x % 8;
	const size_t token = (size_t)blockIdx.x * LOGIT_TOKENS,
		     expert = (size_t)blockIdx.y * LOGIT_EXPERTS;
	float sum[LOGIT_EXPERTS] = {};

	for (size_t base = 0; base < M; base += LOGIT_COLUMNS)
	{
		__syncthreads();
		fill_tile<V>(tile, x, w, token, expert, base, T, M, E);
		__syncthreads();
#pragma unroll 8
		for (unsigned m = lane; m < LOGIT_COLUMNS; m += 8)
		{
			float a = tile.x[mine][m];
			float4 b = tile.w[m];
			sum[0] = __fadd_rn(sum[0], __fmul_rn(a, b.x));
			sum[1] = __fadd_rn(sum[1], __fmul_rn(a, b.y));
			sum[2] = __fadd_rn(sum[2], __fmul_rn(a, b.z));
			sum[3] = __fadd_rn(sum[3], __fmul_rn(a, b.w));
		}
	}
	for (unsigned q = 0; q < LOGIT_EXPERTS; q++)
	{
		for (int step = 4; step > 0; step /= 2)
			sum[q] = __fadd_rn(sum[q], __shfl_xor_sync(FULL_WARP, sum[q], step));
		if (lane == q && token + mine < T && expert + q < E)
			logits[(token + mine) * E + expert + q] = sum[q];
	}
}

template <class X>
static inline int fixed_logits(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			       const X *x, const float *w, float *logits, size_t T, size_t M,
			       size_t E)
{
	const dim3 grid((unsigned)((T + LOGIT_TOKENS - 1) / LOGIT_TOKENS),
			(unsigned)((E + LOGIT_EXPERTS - 1) / LOGIT_EXPERTS));

	static_assert(LOGIT_THREADS == LOGIT_COLUMNS && LOGIT_THREADS == 8 * LOGIT_TOKENS,
		      "a thread fills a column of weights and has an eighth of a token");
	if (T == 0 || E == 0)
		return 0;
	if (M % WIDE == 0 && aligned(x))
		logits_kernel<WIDE>
			<<<grid, LOGIT_THREADS, 0, cuda->stream>>>(x, w, logits, T, M, E);
	else
		logits_kernel<1><<<grid, LOGIT_THREADS, 0, cuda->stream>>>(x, w, logits, T, M, E);
	return launched(call);
}

#endif
