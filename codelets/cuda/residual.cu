/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/residual.h"
#include "codelets/cuda/reduce.cuh"

template <class T> struct residual
{
	const T *x, *f;    /* (T, M) */
	const float *bias; /* (M) or NULL */
	T *y;              /* (T, M) */
	size_t M;

	template <int V> __device__ void run(size_t t, size_t m) const
	{
		size_t i = t * M + m;
		pack<V> a = load<V>(x + i), b = load<V>(f + i), c = {};
		if (bias)
			c = load<V>(bias + m);
		for (int j = 0; j < V; j++)
			a.v[j] = bias ? a.v[j] + b.v[j] + c.v[j] : a.v[j] + b.v[j];
		store<V>(y + i, a);
	}
};

template <class T> static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	residual<T> f = {data_of<const T>(call, 0), data_of<const T>(call, 1),
			 data_of<const float>(call, 2), data_of<T>(call, 3),
			 fsmoe_columns(call->tensor[0])};

	return map_rows(call, cuda, f, fsmoe_rows(call->tensor[0]), f.M,
			aligned(f.x, f.f, f.bias, f.y));
}

extern "C" size_t fsmoe_residual_backward_bias_cuda_scratch(const struct fsmoe_call *call)
{
	const struct fsmoe_tensor_info *dy = call->tensor[0];

	return column_partials(fsmoe_rows(dy), fsmoe_columns(dy), 1) * sizeof(float);
}

template <class T>
static int backward_bias(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	size_t rows = fsmoe_rows(call->tensor[0]), M = fsmoe_columns(call->tensor[0]);
	matrix_rows<T> dy = {data_of<const T>(call, 0), M};

	return add_columns(call, cuda, dy, rows, M, 1, aligned(dy.x),
			   static_cast<float *>(cuda->scratch), data_of<float>(call, 1));
}

CUDA_KERNELS(residual, forward)
CUDA_KERNELS(residual_backward_bias, backward_bias)
