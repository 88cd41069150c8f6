/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_REDUCE_CUH
#define FSMOE_CUDA_REDUCE_CUH

#include "codelets/cuda/launch.cuh"

/*
 * Sums in an order that depends on shapes alone: within a warp, within a block, and down the
 * columns of a matrix in two stages. No atomics: the same inputs give the same bits.
 */

/* Every lane gets the result. */
template <class T> static __device__ __forceinline__ T warp_sum(T x)
{
	for (int step = 16; step > 0; step /= 2)
		x += __shfl_xor_sync(FULL_WARP, x, step);
	return x;
}

static __device__ __forceinline__ float warp_max(float x)
{
	for (int step = 16; step > 0; step /= 2)
		x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, step));
	return x;
}

/* Every thread of the block gets the sum. `room`: one per warp, in shared memory; it may be used
 * again at once. */
template <class T> static __device__ __forceinline__ T block_sum(T x, T *room)
{
	const unsigned warps = blockDim.x / 32;
	T sum = 0;

	x = warp_sum(x);
	if (threadIdx.x % 32 == 0)
		room[threadIdx.x / 32] = x;
	__syncthreads();
	for (unsigned w = 0; w < warps; w++)
		sum += room[w];
	__syncthreads();
	return sum;
}

static __device__ __forceinline__ float block_max(float x, float *room)
{
	const unsigned warps = blockDim.x / 32;
	float max;

	x = warp_max(x);
	if (threadIdx.x % 32 == 0)
		room[threadIdx.x / 32] = x;
	__syncthreads();
	max = room[0];
	for (unsigned w = 1; w < warps; w++)
		max = fmaxf(max, room[w]);
	__syncthreads();
	return max;
}

/* --- down columns ------------------------------------------------------------------------- */

static constexpr unsigned COLUMN_LANES = 32, ROW_LANES = 8;

/* Rows are cut into so many slices that the device is busy; from the shape alone. */
static inline size_t column_slices(size_t rows, size_t columns, size_t batch)
{
	size_t tiles = (columns / WIDE + COLUMN_LANES) / COLUMN_LANES * batch;
	size_t n = (rows + 63) / 64, most = 2048 / (tiles + 1) + 1;

	most = most < 64 ? most : 64;
	return n < 1 ? 1 : n < most ? n : most;
}

/* Room for the first stage's sums. */
static inline size_t column_partials(size_t rows, size_t columns, size_t batch)
{
	return column_slices(rows, columns, batch) * columns * batch;
}

/* partial (batch, slices, columns): over a slice of rows, sums of f.at<V>(batch, row, column). */
template <int V, class F>
static __global__ void column_stage1(const __grid_constant__ F f, size_t rows, size_t columns,
				     float *partial)
{
	__shared__ pack<V> lane[ROW_LANES][COLUMN_LANES];
	size_t column = ((size_t)blockIdx.x * COLUMN_LANES + threadIdx.x) * V;
	size_t slices = gridDim.y, slice = blockIdx.y, batch = blockIdx.z;
	size_t first = rows * slice / slices, last = rows * (slice + 1) / slices;
	pack<V> sum = {};

	if (column < columns)
#pragma unroll 2
		for (size_t row = first + threadIdx.y; row < last; row += ROW_LANES)
		{
			pack<V> x = f.template at<V>(batch, row, column);
			for (int j = 0; j < V; j++)
				sum.v[j] += x.v[j];
		}
	lane[threadIdx.y][threadIdx.x] = sum;
	__syncthreads();
	if (threadIdx.y > 0 || column >= columns)
		return;
	for (unsigned l = 1; l < ROW_LANES; l++)
		for (int j = 0; j < V; j++)
			sum.v[j] += lane[l][threadIdx.x].v[j];
	for (int j = 0; j < V; j++)
		partial[(batch * slices + slice) * columns + column + j] = sum.v[j];
}

/* out (batch, columns) += the slices, in order. */
static __global__ void column_stage2(const float *partial, size_t slices, size_t columns,
				     size_t batch, float *out)
{
	size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;

	for (; i < batch * columns; i += (size_t)gridDim.x * blockDim.x)
	{
		const float *p = partial + i / columns * slices * columns + i % columns;
		float sum = 0;
		for (size_t s = 0; s < slices; s++)
			sum += p[s * columns];
		out[i] += sum;
	}
}

/* out[b][c] += sum over rows r of f(b, r, c); partial: column_partials(...) floats. `wide`: as of
 * map(). */
template <class F>
static inline int add_columns(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			      const F &f, size_t rows, size_t columns, size_t batch, bool wide,
			      float *partial, float *out)
{
	size_t slices = column_slices(rows, columns, batch);
	size_t packs = wide && columns % WIDE == 0 ? columns / WIDE : columns;
	dim3 grid((unsigned)((packs + COLUMN_LANES - 1) / COLUMN_LANES), (unsigned)slices,
		  (unsigned)batch);
	dim3 block(COLUMN_LANES, ROW_LANES);

	if (rows == 0 || columns == 0 || batch == 0)
		return 0;
	if (packs < columns)
		column_stage1<WIDE><<<grid, block, 0, cuda->stream>>>(f, rows, columns, partial);
	else
		column_stage1<1><<<grid, block, 0, cuda->stream>>>(f, rows, columns, partial);
	column_stage2<<<blocks_for(batch * columns, 128), 128, 0, cuda->stream>>>(
		partial, slices, columns, batch, out);
	return launched(call);
}

/* The rows of one matrix (rows, columns). */
template <class T> struct matrix_rows
{
	const T *x;
	size_t columns;

	template <int V> __device__ pack<V> at(size_t, size_t row, size_t column) const
	{
		return load<V>(x + row * columns + column);
	}
};

#endif
