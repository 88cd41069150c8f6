/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/layer_norm.h"
#include "codelets/cuda/reduce.cuh"

/* One block a row. A row is read from memory once; its later passes find it in the cache. */

#define EPSILON   1e-5f
#define MAX_WARPS 8

static unsigned threads_for(size_t M)
{
	size_t n = (M + 31) / 32 * 32;

	return n < 32 * MAX_WARPS ? (unsigned)n : 32 * MAX_WARPS;
}

template <class X>
static __global__ void forward_rows(const X *x,         /* (T, M) */
				    const float *gamma, /* (M) */
				    const float *beta,  /* (M) */
				    X *y,               /* (T, M) */
				    float *moments,     /* (T, 2) */
				    size_t T, size_t M)
{
	__shared__ float room[MAX_WARPS];

	for (size_t t = blockIdx.x; t < T; t += gridDim.x)
	{
		const X *row = x + t * M;
		float sum = 0, squares = 0;
		for (size_t m = threadIdx.x; m < M; m += blockDim.x)
			sum += get(row[m]);
		float mean = block_sum(sum, room) / (float)M;
		for (size_t m = threadIdx.x; m < M; m += blockDim.x)
			squares += (get(row[m]) - mean) * (get(row[m]) - mean);
		float rstd = 1 / sqrtf(block_sum(squares, room) / (float)M + EPSILON);
		for (size_t m = threadIdx.x; m < M; m += blockDim.x)
			put(y + t * M + m, (get(row[m]) - mean) * rstd * gamma[m] + beta[m]);
		if (threadIdx.x == 0)
		{
			moments[2 * t] = mean;
			moments[2 * t + 1] = rstd;
		}
	}
}

/* A product that a difference takes away again is rounded before, not fused into it: of one column,
 * say, nothing must remain but zero, and rstd is large there. */
template <class X>
static __global__ void backward_x(const X *x,           /* (T, M) */
				  const float *gamma,   /* (M) */
				  const float *moments, /* (T, 2) */
				  const X *dy,          /* (T, M) */
				  X *dx,                /* (T, M) */
				  size_t T, size_t M)
{
	__shared__ float room[MAX_WARPS];

	for (size_t t = blockIdx.x; t < T; t += gridDim.x)
	{
		const X *row = x + t * M, *g_row = dy + t * M;
		float mean = moments[2 * t], rstd = moments[2 * t + 1];
		float sum_g = 0, sum_gh = 0;
		for (size_t m = threadIdx.x; m < M; m += blockDim.x)
		{
			float g = __fmul_rn(get(g_row[m]), gamma[m]);
			sum_g += g;
			sum_gh += g * ((get(row[m]) - mean) * rstd);
		}
		float mean_g = block_sum(sum_g, room) / (float)M;
		float mean_gh = block_sum(sum_gh, room) / (float)M;
		for (size_t m = threadIdx.x; m < M; m += blockDim.x)
		{
			float g = __fmul_rn(get(g_row[m]), gamma[m]);
			put(dx + t * M + m,
			    rstd * (g - mean_g - (get(row[m]) - mean) * rstd * mean_gh));
		}
	}
}

/* Terms of dgamma. */
template <class X> struct gamma_terms
{
	const X *x, *dy;
	const float *moments;
	size_t M;

	template <int V> __device__ pack<V> at(size_t, size_t t, size_t m) const
	{
		pack<V> a = load<V>(x + t * M + m), g = load<V>(dy + t * M + m);
		for (int j = 0; j < V; j++)
			g.v[j] *= (a.v[j] - moments[2 * t]) * moments[2 * t + 1];
		return g;
	}
};

template <class X> static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	size_t T = fsmoe_rows(call->tensor[0]), M = fsmoe_columns(call->tensor[0]);

	if (T == 0)
		return 0;
	forward_rows<<<blocks_for(T, 1), threads_for(M), 0, cuda->stream>>>(
		data_of<const X>(call, 0), data_of<const float>(call, 1),
		data_of<const float>(call, 2), data_of<X>(call, 3), data_of<float>(call, 4), T, M);
	return launched(call);
}

extern "C" size_t fsmoe_layer_norm_backward_cuda_scratch(const struct fsmoe_call *call)
{
	const struct fsmoe_tensor_info *x = call->tensor[0];

	return column_partials(fsmoe_rows(x), fsmoe_columns(x), 1) * sizeof(float);
}

template <class X> static int backward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const X *x = data_of<const X>(call, 0), *dy = data_of<const X>(call, 3);
	const float *gamma = data_of<const float>(call, 1),
		    *moments = data_of<const float>(call, 2);
	float *partial = static_cast<float *>(cuda->scratch);
	X *dx = data_of<X>(call, 4);
	size_t T = fsmoe_rows(call->tensor[0]), M = fsmoe_columns(call->tensor[0]);
	int err = 0;

	if (T == 0)
		return 0;
	if (dx)
	{
		backward_x<<<blocks_for(T, 1), threads_for(M), 0, cuda->stream>>>(x, gamma, moments,
										  dy, dx, T, M);
		err = launched(call);
	}
	if (call->data[5] && !err)
		err = add_columns(call, cuda, gamma_terms<X>{x, dy, moments, M}, T, M, 1,
				  aligned(x, dy), partial, data_of<float>(call, 5));
	if (call->data[6] && !err)
		err = add_columns(call, cuda, matrix_rows<X>{dy, M}, T, M, 1, aligned(dy), partial,
				  data_of<float>(call, 6));
	return err;
}

CUDA_KERNELS(layer_norm, forward)
CUDA_KERNELS(layer_norm_backward, backward)
