/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_SOFTMAX_CUH
#define FSMOE_CUDA_SOFTMAX_CUH

#include "codelets/cuda/reduce.cuh"

/* Attention's softmax, forward and backward, over rows of squares of scores. */

/* Some (S, S) squares, one after another. Row i sees columns up to its own, or `all`; those up to
 * the end of its strip of `height` rows have been computed, and are computed with. */
struct squares
{
	size_t n, S, height;
	bool all;

	__host__ __device__ size_t rows() const
	{
		return n * S;
	}
	__device__ size_t seen(size_t i) const
	{
		return all ? S : i + 1;
	}
	__device__ size_t computed(size_t i) const
	{
		const size_t end = (i / height + 1) * height;

		return end < S ? end : S;
	}
};

/* One row of them, by that many threads: a warp, or a block. A thread's columns are V at `first`,
 * and then every `step`. */
template <int THREADS, int V> struct square_row
{
	static constexpr unsigned BLOCK = THREADS < 256 ? 256 : THREADS;
	size_t r, i;
	unsigned first;

	__device__ explicit square_row(const squares &s)
	    : r((size_t)blockIdx.x * (BLOCK / THREADS) + threadIdx.x / THREADS), i(r % s.S),
	      first(threadIdx.x % THREADS * V)
	{
	}
	static constexpr unsigned step = THREADS * V;

	__device__ float max(float x, float *room) const
	{
		return THREADS == 32 ? warp_max(x) : block_max(x, room);
	}
	__device__ float sum(float x, float *room) const
	{
		return THREADS == 32 ? warp_sum(x) : block_sum(x, room);
	}
};

/* Scores become probabilities over the columns that a row sees, else zero, which may take their
 * place. Of every row its largest score and the sum it is divided by are in stats, from the first
 * time on; those of square i begin at i * apart. An exponential costs less than to write it and
 * read it back. */
template <int THREADS, int V, bool again, class P>
static __global__ void softmax_rows(const float *scores, P *probs, float2 *stats, size_t apart,
				    const squares s)
{
	__shared__ float room[32];
	const square_row<THREADS, V> at(s);

	if (at.r >= s.rows())
		return;
	const float *row = scores + at.r * s.S;
	float2 *kept = stats + at.r / s.S * apart + at.i;
	const size_t n = s.seen(at.i), end = s.computed(at.i);
	float max = -INFINITY, sum = 0, one_over;
	P *out = probs + at.r * s.S;

#pragma unroll 4
	for (size_t j = at.first; j < n && !again; j += at.step)
	{
		const pack<V> x = load<V>(row + j);
		for (int k = 0; k < V; k++)
			max = j + k < n ? fmaxf(max, x.v[k]) : max;
	}
	max = again ? kept->x : at.max(max, room);
#pragma unroll 4
	for (size_t j = at.first; j < n && !again; j += at.step)
	{
		const pack<V> x = load<V>(row + j);
		for (int k = 0; k < V; k++)
			sum += j + k < n ? expf(x.v[k] - max) : 0;
	}
	sum = again ? kept->y : at.sum(sum, room);
	one_over = 1 / sum;
#pragma unroll 4
	for (size_t j = at.first; j < end; j += at.step)
	{
		pack<V> x = load<V>(row + j);
		for (int k = 0; k < V; k++)
			x.v[k] = j + k < n ? expf(x.v[k] - max) * one_over : 0;
		store<V>(out + j, x);
	}
	if (at.first == 0 && !again)
		*kept = make_float2(max, sum);
}

/* P becomes dS = P (dP - sum of P dP) scale. */
template <int THREADS, int V, class P>
static __global__ void softmax_backward(P *probs, const float *dp, float scale, const squares s)
{
	__shared__ float room[32];
	const square_row<THREADS, V> at(s);

	if (at.r >= s.rows())
		return;
	const float *row = dp + at.r * s.S;
	const size_t n = s.seen(at.i);
	P *p = probs + at.r * s.S;
	float dot = 0;

#pragma unroll 4
	for (size_t j = at.first; j < n; j += at.step)
	{
		const pack<V> x = load<V>(p + j), dx = load<V>(row + j);
		for (int k = 0; k < V; k++)
			dot += j + k < n ? x.v[k] * dx.v[k] : 0;
	}
	dot = at.sum(dot, room);
#pragma unroll 4
	for (size_t j = at.first; j < n; j += at.step)
	{
		pack<V> x = load<V>(p + j);
		const pack<V> dx = load<V>(row + j);
		for (int k = 0; k < V; k++)
			x.v[k] = j + k < n ? x.v[k] * (dx.v[k] - dot) * scale : 0;
		store<V>(p + j, x);
	}
}

/* --- launching ------------------------------------------------------------------------------ */

template <int THREADS> static inline unsigned blocks_of(const squares &s)
{
	constexpr unsigned rows = square_row<THREADS, 1>::BLOCK / THREADS;

	return (unsigned)((s.rows() + rows - 1) / rows);
}

template <int THREADS, int V, bool again, class P>
static void launch_softmax(cudaStream_t stream, const squares &s, const float *scores, P *probs,
			   float2 *stats, size_t apart)
{
	softmax_rows<THREADS, V, again>
		<<<blocks_of<THREADS>(s), square_row<THREADS, V>::BLOCK, 0, stream>>>(
			scores, probs, stats, apart, s);
}

template <int THREADS, int V, class P>
static void launch_softmax_backward(cudaStream_t stream, const squares &s, P *probs,
				    const float *dp, float scale)
{
	softmax_backward<THREADS, V>
		<<<blocks_of<THREADS>(s), square_row<THREADS, V>::BLOCK, 0, stream>>>(probs, dp,
										      scale, s);
}

/* From so many columns on a row has a block of its own. */
static constexpr size_t LONG_ROW = 1024;

template <bool again, class P>
static int softmax(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const squares &s,
		   const float *scores, P *probs, float2 *stats, size_t apart)
{
	const bool wide = s.S % WIDE == 0 && aligned(scores, probs);

	if (wide && s.S > LONG_ROW)
		launch_softmax<256, WIDE, again>(cuda->stream, s, scores, probs, stats, apart);
	else if (wide)
		launch_softmax<32, WIDE, again>(cuda->stream, s, scores, probs, stats, apart);
	else
		launch_softmax<32, 1, again>(cuda->stream, s, scores, probs, stats, apart);
	return launched(call);
}

template <class P>
static int softmax_gradient(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			    const squares &s, P *probs, const float *dp, float scale)
{
	const bool wide = s.S % WIDE == 0 && aligned(probs, dp);

	if (wide && s.S > LONG_ROW)
		launch_softmax_backward<256, WIDE>(cuda->stream, s, probs, dp, scale);
	else if (wide)
		launch_softmax_backward<32, WIDE>(cuda->stream, s, probs, dp, scale);
	else
		launch_softmax_backward<32, 1>(cuda->stream, s, probs, dp, scale);
	return launched(call);
}

#endif
