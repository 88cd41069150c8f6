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
	size_t r; /* `rows`: none */
	unsigned lane;

	__device__ explicit square_row(size_t rows)
	    : r((size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32), lane(threadIdx.x % 32)
	{
		if (r > rows)
			r = rows;
	}
};

/* Scores become probabilities over the columns that a row sees, else zero, which may take their
 * place. Of every row its largest score and the sum it is divided by are in stats, from the first
 * time on; those of square i begin at i * step. An exponential costs less than to write it and read
 * it back. */
template <bool again, class P>
static __global__ void softmax_rows(const float *scores, P *probs, float2 *stats, size_t step,
				    size_t rows, size_t S, bool all)
{
	const square_row at(rows);

	if (at.r == rows)
		return;
	const float *row = scores + at.r * S;
	float2 *kept = stats + at.r / S * step + at.r % S;
	float max = -INFINITY, sum = 0;
	P *out = probs + at.r * S;
	size_t n = seen(at.r % S, S, all);
	for (size_t j = at.lane; j < n && !again; j += 32)
		max = fmaxf(max, row[j]);
	max = again ? kept->x : warp_max(max);
	for (size_t j = at.lane; j < n && !again; j += 32)
		sum += expf(row[j] - max);
	sum = again ? kept->y : warp_sum(sum);
	for (size_t j = at.lane; j < S; j += 32)
		put(out + j, j < n ? expf(row[j] - max) / sum : 0);
	if (at.lane == 0 && !again)
		*kept = make_float2(max, sum);
}

/* P becomes dS = P (dP - sum of P dP) scale. */
template <class P>
static __global__ void softmax_backward(P *probs, const float *dp, size_t rows, size_t S,
					float scale, bool all)
{
	const square_row at(rows);

	if (at.r == rows)
		return;
	const float *row = dp + at.r * S;
	P *p = probs + at.r * S;
	float dot = 0;
	size_t n = seen(at.r % S, S, all);
	for (size_t j = at.lane; j < n; j += 32)
		dot += get(p[j]) * row[j];
	dot = warp_sum(dot);
	for (size_t j = at.lane; j < n; j += 32)
		put(p + j, get(p[j]) * (row[j] - dot) * scale);
}

#endif
