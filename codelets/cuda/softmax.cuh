/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_SOFTMAX_CUH
#define FSMOE_CUDA_SOFTMAX_CUH

#include "codelets/cuda/reduce.cuh"

/* Attention's softmax, forward and backward, over rows of squares of scores. */

/* How many columns row i of a square sees: those up to its own, or all. */
static __device__ __forceinline__ size_t seen(size_t i, size_t S, bool all)
{
	return all ? S : i + 1;
}

/* One warp a row of some (S, S) matrices, which lie one after another. */
struct square_row
{
	size_t r, S;
	unsigned lane;

	__device__ square_row(size_t rows, size_t S_)
	    : r((size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32), S(S_),
	      lane(threadIdx.x % 32)
	{
		if (r > rows)
			r = rows;
	}
	/* Of rows `apart` elements from one to the next, whose squares are `step` apart. */
	template <class X> __device__ X *of(X *x, size_t step, size_t apart) const
	{
		return x + r / S * step + r % S * apart;
	}
};

/* Scores become probabilities over the columns that a row sees, else zero, which may take their
 * place; lse of square i begins at i * step. An exponential costs less than to write it and read it
 * back. */
template <class P>
static __global__ void softmax_rows(const float *scores, P *probs, float *lse, size_t step,
				    size_t rows, size_t S, bool all)
{
	const square_row at(rows, S);

	if (at.r == rows)
		return;
	const float *row = scores + at.r * S;
	float max = -INFINITY, sum = 0;
	P *out = probs + at.r * S;
	size_t n = seen(at.r % S, S, all);
	for (size_t j = at.lane; j < n; j += 32)
		max = fmaxf(max, row[j]);
	max = warp_max(max);
	for (size_t j = at.lane; j < n; j += 32)
		sum += expf(row[j] - max);
	sum = warp_sum(sum);
	for (size_t j = at.lane; j < S; j += 32)
		put(out + j, j < n ? expf(row[j] - max) / sum : 0);
	if (at.lane == 0)
		*at.of(lse, step, 1) = max + logf(sum);
}

/* The same once more, by what the first time left. */
template <class P>
static __global__ void softmax_again(const float *scores, P *probs, const float *lse, size_t step,
				     size_t rows, size_t S, bool all)
{
	const square_row at(rows, S);

	if (at.r == rows)
		return;
	const float *row = scores + at.r * S, sum = *at.of(lse, step, 1);
	P *out = probs + at.r * S;
	size_t n = seen(at.r % S, S, all);
	for (size_t j = at.lane; j < S; j += 32)
		put(out + j, j < n ? expf(row[j] - sum) : 0);
}

/* Rows of a head, HD apart; those of the next square are `step` away. */
template <class T> struct head_rows
{
	const T *x;
	size_t step, HD, D;
};

/* P becomes dS = P (dP - sum of dy y) scale. */
template <class P>
static __global__ void softmax_backward(P *probs, const float *dp, head_rows<P> y, head_rows<P> dy,
					size_t rows, size_t S, float scale, bool all)
{
	const square_row at(rows, S);

	if (at.r == rows)
		return;
	const float *row = dp + at.r * S;
	const P *out = at.of(y.x, y.step, y.HD), *dout = at.of(dy.x, dy.step, dy.HD);
	P *p = probs + at.r * S;
	float dot = 0;
	size_t n = seen(at.r % S, S, all);
	for (size_t d = at.lane; d < y.D; d += 32)
		dot += get(out[d]) * get(dout[d]);
	dot = warp_sum(dot);
	for (size_t j = at.lane; j < n; j += 32)
		put(p + j, get(p[j]) * (row[j] - dot) * scale);
}

#endif
