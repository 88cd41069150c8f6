/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gelu.h"
#include "codelets/cuda/gelu.cuh"
#include "codelets/cuda/launch.cuh"

struct gelu
{
	const float *x;
	float *y;

	template <int V> __device__ void run(size_t i) const
	{
		pack<V> a = load<V>(x + i);
		for (int j = 0; j < V; j++)
			a.v[j] = gelu_value(a.v[j]);
		store<V>(y + i, a);
	}
};

struct gelu_backward
{
	const float *x, *dy;
	float *dx;

	template <int V> __device__ void run(size_t i) const
	{
		pack<V> a = load<V>(x + i), g = load<V>(dy + i);
		for (int j = 0; j < V; j++)
			g.v[j] *= gelu_slope(a.v[j]);
		store<V>(dx + i, g);
	}
};

extern "C" int fsmoe_gelu_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	gelu f = {data_of<const float>(call, 0), data_of<float>(call, 1)};

	return map(call, cuda, f, fsmoe_count(call->tensor[0]), aligned(f.x, f.y));
}

extern "C" int fsmoe_gelu_backward_cuda(const struct fsmoe_call *call,
					const struct fsmoe_cuda *cuda)
{
	gelu_backward f = {data_of<const float>(call, 0), data_of<const float>(call, 1),
			   data_of<float>(call, 2)};

	return map(call, cuda, f, fsmoe_count(call->tensor[0]), aligned(f.x, f.dy, f.dx));
}
