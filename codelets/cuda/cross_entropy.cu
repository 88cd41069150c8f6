/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cross_entropy.h"
#include "codelets/cuda/reduce.cuh"

#define THREADS 256

/* One block a row: its loss, 0 where the target does not count. */
template <class X>
static __global__ void row_losses(const X *logits,        /* (T, V) */
				  const int32_t *targets, /* (T) */
				  double *loss,           /* (T) */
				  float *lse,             /* (T) */
				  size_t V, fault_to fault)
{
	__shared__ float room[THREADS / 32];
	size_t t = blockIdx.x;
	const X *row = logits + t * V;
	int32_t target = targets[t];
	float max = -INFINITY, sum = 0;

	if (target < 0 || (size_t)target >= V)
	{
		if (threadIdx.x > 0)
			return;
		lse[t] = 0;
		loss[t] = 0;
		if (target >= 0)
			fault.set(FSMOE_FAULT_TARGET, (long long)t, target, 0);
		return;
	}
	for (size_t v = threadIdx.x; v < V; v += THREADS)
		max = fmaxf(max, get(row[v]));
	max = block_max(max, room);
	for (size_t v = threadIdx.x; v < V; v += THREADS)
		sum += expf(get(row[v]) - max);
	sum = block_sum(sum, room);
	if (threadIdx.x > 0)
		return;

	double all = (double)max + log((double)sum), here = all - (double)get(row[target]);
	lse[t] = (float)all;
	loss[t] = here;
	if (!isfinite(here))
		fault.set(FSMOE_FAULT_LOSS, (long long)t, 0, here);
}

/* One block: the rows in an order that T alone decides. */
static __global__ void total_loss(const double *loss /* (T) */, size_t T, double scale, float *out)
{
	__shared__ double room[THREADS / 32];
	double sum = 0;

	for (size_t t = threadIdx.x; t < T; t += THREADS)
		sum += loss[t];
	sum = block_sum(sum, room);
	if (threadIdx.x == 0)
		*out = (float)(scale * sum);
}

extern "C" size_t fsmoe_cross_entropy_cuda_scratch(const struct fsmoe_call *call)
{
	return fsmoe_rows(call->tensor[0]) * sizeof(double);
}

template <class X> static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_cross_entropy_args *args =
		static_cast<const struct fsmoe_cross_entropy_args *>(call->args);
	size_t T = fsmoe_rows(call->tensor[0]), V = fsmoe_columns(call->tensor[0]);
	double *loss = static_cast<double *>(cuda->scratch);

	if (T > 0)
		row_losses<<<(unsigned)T, THREADS, 0, cuda->stream>>>(
			data_of<const X>(call, 0), data_of<const int32_t>(call, 1), loss,
			data_of<float>(call, 3), V, fault_of(call, cuda));
	total_loss<<<1, THREADS, 0, cuda->stream>>>(loss, T, args->scale, data_of<float>(call, 2));
	return launched(call);
}

template <class X> struct backward
{
	const X *logits;        /* (T, V) */
	const int32_t *targets; /* (T) */
	const float *lse;       /* (T) */
	const float *dloss;     /* (1) */
	X *dlogits;             /* (T, V) */
	float scale;
	size_t V;

	template <int N> __device__ void run(size_t t, size_t v) const
	{
		size_t i = t * V + v;
		int32_t target = targets[t];
		float factor = scale * *dloss, all = lse[t];
		pack<N> x = load<N>(logits + i);
		for (int j = 0; j < N; j++)
		{
			float d = factor * expf(x.v[j] - all);
			if ((int32_t)(v + (size_t)j) == target)
				d -= factor;
			x.v[j] = target < 0 ? 0 : d;
		}
		store<N>(dlogits + i, x);
	}
};

template <class X>
static int backward_rows(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_cross_entropy_args *args =
		static_cast<const struct fsmoe_cross_entropy_args *>(call->args);
	backward<X> f = {data_of<const X>(call, 0),     data_of<const int32_t>(call, 1),
			 data_of<const float>(call, 2), data_of<const float>(call, 3),
			 data_of<X>(call, 4),           (float)args->scale,
			 fsmoe_columns(call->tensor[0])};

	return map_rows(call, cuda, f, fsmoe_rows(call->tensor[0]), f.V,
			aligned(f.logits, f.dlogits));
}

CUDA_KERNELS(cross_entropy, forward)
CUDA_KERNELS(cross_entropy_backward, backward_rows)
