/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/optimizer.h"
#include "codelets/cuda/reduce.cuh"

#define THREADS 256

/* --- sum of squares ------------------------------------------------------------------------- */

static unsigned partial_sums(size_t n)
{
	size_t blocks = (n + 16 * THREADS - 1) / (16 * THREADS);

	return blocks < 1 ? 1 : blocks < 1024 ? (unsigned)blocks : 1024;
}

/* In double: the squares of many gradients. */
static __global__ void square_sums(const float *x, size_t n, double *partial)
{
	__shared__ double room[THREADS / 32];
	double sum = 0;

	for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < n;
	     i += (size_t)gridDim.x * THREADS)
		sum += (double)x[i] * (double)x[i];
	sum = block_sum(sum, room);
	if (threadIdx.x == 0)
		partial[blockIdx.x] = sum;
}

static __global__ void add_sums(const double *partial, unsigned n, double scale, float *out)
{
	__shared__ double room[THREADS / 32];
	double sum = 0;

	for (unsigned i = threadIdx.x; i < n; i += THREADS)
		sum += partial[i];
	sum = block_sum(sum, room);
	if (threadIdx.x == 0)
		*out += (float)(scale * sum);
}

extern "C" size_t fsmoe_sum_squares_cuda_scratch(const struct fsmoe_call *call)
{
	return partial_sums(fsmoe_count(call->tensor[0])) * sizeof(double);
}

extern "C" int fsmoe_sum_squares_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_sum_squares_args *args =
		static_cast<const struct fsmoe_sum_squares_args *>(call->args);
	size_t n = fsmoe_count(call->tensor[0]);
	unsigned blocks = partial_sums(n);
	double *partial = static_cast<double *>(cuda->scratch);

	square_sums<<<blocks, THREADS, 0, cuda->stream>>>(data_of<const float>(call, 0), n,
							  partial);
	add_sums<<<1, THREADS, 0, cuda->stream>>>(partial, blocks, args->scale,
						  data_of<float>(call, 1));
	return launched(call);
}

/* --- updates -------------------------------------------------------------------------------- */

/* Runs of elements with a weight decay of their own; more go in several launches. */
static constexpr size_t SEGMENTS = 64;

struct run
{
	size_t offset, count;
	float keep; /* 1 - lr * decay */
};

struct update
{
	run segment[SEGMENTS];
	float *param, *m, *v;
	bf16 *copy; /* of the parameters, or NULL */
	const float *grad;
	const float *norm2; /* (1) or NULL */
	double clip;
	float beta1, beta2, eps;
	float rate;  /* lr / (1 - beta1^t), of sgd lr */
	float root2; /* sqrt(1 - beta2^t) */
	fault_to fault;
};

/* Sets the factor for gradients. False: nothing may be changed. */
static __device__ bool clipping(const update &u, float *factor)
{
	*factor = 1;
	if (u.fault.fault->code != FSMOE_FAULT_NONE)
		return false;
	if (!u.norm2)
		return true;

	double norm2 = (double)*u.norm2;
	if (!(isfinite(norm2) && norm2 >= 0))
		return false;
	double f = u.clip / (sqrt(norm2) + 1e-6);
	if (u.clip > 0 && f < 1)
		*factor = (float)f;
	return true;
}

static __device__ void set_param(const update &u, size_t i, float value)
{
	u.param[i] = value;
	if (u.copy)
		put(u.copy + i, value);
}

static __device__ void adamw_element(const update &u, float keep, float factor, size_t i)
{
	float g = factor * u.grad[i];
	float m = u.beta1 * u.m[i] + (1 - u.beta1) * g;
	float v = u.beta2 * u.v[i] + (1 - u.beta2) * g * g;

	u.m[i] = m;
	u.v[i] = v;
	set_param(u, i, keep * u.param[i] - u.rate * m / (sqrtf(v) / u.root2 + u.eps));
}

static __device__ void sgd_element(const update &u, float keep, float factor, size_t i)
{
	set_param(u, i, keep * u.param[i] - u.rate * factor * u.grad[i]);
}

/* Block (b, s): a share of segment s. */
template <bool ADAMW> static __global__ void update_kernel(const __grid_constant__ update u)
{
	const run &r = u.segment[blockIdx.y];
	float factor;

	if (!clipping(u, &factor))
		return;
	for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < r.count;
	     i += (size_t)gridDim.x * THREADS)
		if (ADAMW)
			adamw_element(u, r.keep, factor, r.offset + i);
		else
			sgd_element(u, r.keep, factor, r.offset + i);
}

/* Apart, so that no block of the update sees the fault that another one has just set. */
static __global__ void check_norm(const float *norm2, fault_to fault)
{
	if (!(isfinite(*norm2) && *norm2 >= 0))
		fault.set(FSMOE_FAULT_NORM, 0, 0, (double)*norm2);
}

template <bool ADAMW>
static int run_update(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, update &u,
		      const struct fsmoe_segment *segment, size_t nsegments)
{
	if (u.norm2)
		check_norm<<<1, 1, 0, cuda->stream>>>(u.norm2, u.fault);
	for (size_t first = 0; first < nsegments; first += SEGMENTS)
	{
		size_t n = nsegments - first < SEGMENTS ? nsegments - first : SEGMENTS, most = 1;
		for (size_t i = 0; i < n; i++)
		{
			const struct fsmoe_segment *s = &segment[first + i];
			u.segment[i] =
				run{s->offset, s->count, (float)(1 - call->step->lr * s->decay)};
			most = s->count > most ? s->count : most;
		}
		dim3 grid(blocks_for(most, 4 * THREADS), (unsigned)n);
		update_kernel<ADAMW><<<grid, THREADS, 0, cuda->stream>>>(u);
	}
	return launched(call);
}

extern "C" int fsmoe_adamw_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_adamw_args *args =
		static_cast<const struct fsmoe_adamw_args *>(call->args);
	double t = (double)call->step->step, lr = call->step->lr;
	update u = {};

	if (call->step->step < 1)
		return fsmoe_fail(EINVAL, "adamw: steps are counted from 1");
	u.param = data_of<float>(call, 0);
	u.copy = copy_of(call, 0);
	u.grad = data_of<const float>(call, 1);
	u.norm2 = data_of<const float>(call, 2);
	u.m = data_of<float>(call, 3);
	u.v = data_of<float>(call, 4);
	u.clip = args->clip;
	u.beta1 = (float)args->beta1;
	u.beta2 = (float)args->beta2;
	u.eps = (float)args->eps;
	u.rate = (float)(lr / (1 - pow(args->beta1, t)));
	u.root2 = (float)sqrt(1 - pow(args->beta2, t));
	u.fault = fault_of(call, cuda);
	return run_update<true>(call, cuda, u,
				reinterpret_cast<const struct fsmoe_segment *>(args + 1),
				args->nsegments);
}

extern "C" int fsmoe_sgd_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_sgd_args *args = static_cast<const struct fsmoe_sgd_args *>(call->args);
	update u = {};

	u.param = data_of<float>(call, 0);
	u.copy = copy_of(call, 0);
	u.grad = data_of<const float>(call, 1);
	u.norm2 = data_of<const float>(call, 2);
	u.clip = args->clip;
	u.rate = (float)call->step->lr;
	u.fault = fault_of(call, cuda);
	return run_update<false>(call, cuda, u,
				 reinterpret_cast<const struct fsmoe_segment *>(args + 1),
				 args->nsegments);
}
