/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gelu.h"
#include "codelets/cuda/gelu.cuh"
#include "codelets/cuda/launch.cuh"

template <class T> struct gelu
{
	const T *x;
	T *y;

	template <int V> __device__ void run(size_t i) const
	{
		pack<V> a = load<V>(x + i);
		for (int j = 0; j < V; j++)
			a.v[j] = gelu_value(a.v[j]);
		store<V>(y + i, a);
	}
};

template <class T> struct gelu_backward
{
	const T *x, *dy;
	T *dx;

	template <int V> __device__ void run(size_t i) const
	{
		pack<V> a = load<V>(x + i), g = load<V>(dy + i);
		for (int j = 0; j < V; j++)
			g.v[j] *= gelu_slope(a.v[j]);
		store<V>(dx + i, g);
	}
};

template <class T> static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	gelu<T> f = {data_of<const T>(call, 0), data_of<T>(call, 1)};

	return map(call, cuda, f, fsmoe_count(call->tensor[0]), aligned(f.x, f.y));
}

template <class T> static int backward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	gelu_backward<T> f = {data_of<const T>(call, 0), data_of<const T>(call, 1),
			      data_of<T>(call, 2)};

	return map(call, cuda, f, fsmoe_count(call->tensor[0]), aligned(f.x, f.dy, f.dx));
}

CUDA_KERNELS(gelu, forward)
CUDA_KERNELS(gelu_backward, backward)
