/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_soft.h"
#include "codelets/cuda/choose.cuh"

/* Rows by one warp each; columns of a group by one thread each, as many as slots. */

static unsigned row_blocks(size_t rows)
{
	return (unsigned)((rows + CHOOSE_WARPS - 1) / CHOOSE_WARPS);
}

static __device__ size_t row_of_warp()
{
	return (size_t)blockIdx.x * CHOOSE_WARPS + threadIdx.x / 32;
}

static __global__ void softmax_of_rows(const float *logits, /* (T, N) */
				       float *combine,      /* (T, N) */
				       size_t T, size_t N, fault_to fault)
{
	size_t t = row_of_warp();
	float top = -INFINITY;

	if (t >= T)
		return;
	check_logits(logits + t * N, N, t, fault);
	for (size_t s = threadIdx.x % 32; s < N; s += 32)
	{
		combine[t * N + s] = logits[t * N + s];
		top = fmaxf(top, logits[t * N + s]);
	}
	softmax(combine + t * N, N, warp_max(top));
}

static __global__ void softmax_of_columns(const float *logits, /* (T, N) */
					  float *dispatch,     /* (T, N) */
					  size_t group, size_t N)
{
	size_t s = (size_t)blockIdx.y * blockDim.x + threadIdx.x, at = blockIdx.x * group * N + s;
	float top = -INFINITY, sum = 0;

	if (s >= N)
		return;
	for (size_t t = 0; t < group; t++)
		top = fmaxf(top, logits[at + t * N]);
	for (size_t t = 0; t < group; t++)
		sum += dispatch[at + t * N] = expf(logits[at + t * N] - top);
	for (size_t t = 0; t < group; t++)
		dispatch[at + t * N] /= sum;
}

static size_t group_of(const struct fsmoe_call *call)
{
	return static_cast<const struct fsmoe_gate_soft_args *>(call->args)->group;
}

static dim3 column_grid(size_t T, size_t N, size_t group)
{
	return dim3((unsigned)(T / group), (unsigned)((N + 63) / 64));
}

extern "C" int fsmoe_gate_soft_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	size_t T = fsmoe_rows(call->tensor[0]), N = fsmoe_columns(call->tensor[0]);
	const float *logits = data_of<const float>(call, 0);

	if (T == 0)
		return 0;
	softmax_of_rows<<<row_blocks(T), CHOOSE_THREADS, 0, cuda->stream>>>(
		logits, data_of<float>(call, 2), T, N, fault_of(call, cuda));
	softmax_of_columns<<<column_grid(T, N, group_of(call)), 64, 0, cuda->stream>>>(
		logits, data_of<float>(call, 1), group_of(call), N);
	return launched(call);
}

/* --- backward --------------------------------------------------------------------------------- */

/* dlogits = p (dp - sum p dp) of a row; 0 without dp. */
static __global__ void rows_backward(const float *p,  /* (T, N) */
				     const float *dp, /* (T, N) or NULL */
				     float *dlogits,  /* (T, N) */
				     size_t T, size_t N)
{
	size_t t = row_of_warp();
	float mean = 0;

	if (t >= T)
		return;
	for (size_t i = t * N + threadIdx.x % 32; dp && i < (t + 1) * N; i += 32)
		mean += p[i] * dp[i];
	mean = warp_sum(mean);
	for (size_t i = t * N + threadIdx.x % 32; i < (t + 1) * N; i += 32)
		dlogits[i] = dp ? p[i] * (dp[i] - mean) : 0;
}

/* Does so down the columns of a group, and adds to the logits' gradient. */
static __global__ void columns_backward(const float *p,  /* (T, N) */
					const float *dp, /* (T, N) */
					float *dlogits,  /* (T, N) */
					size_t group, size_t N)
{
	size_t s = (size_t)blockIdx.y * blockDim.x + threadIdx.x;
	size_t at = blockIdx.x * group * N + s, end = (blockIdx.x + 1) * group * N;
	float mean = 0;

	if (s >= N)
		return;
	for (size_t i = at; i < end; i += N)
		mean += p[i] * dp[i];
	for (size_t i = at; i < end; i += N)
		dlogits[i] += p[i] * (dp[i] - mean);
}

extern "C" int fsmoe_gate_soft_backward_cuda(const struct fsmoe_call *call,
					     const struct fsmoe_cuda *cuda)
{
	size_t T = fsmoe_rows(call->tensor[0]), N = fsmoe_columns(call->tensor[0]);
	const float *ddispatch = data_of<const float>(call, 2);
	float *dlogits = data_of<float>(call, 4);

	if (T == 0)
		return 0;
	rows_backward<<<row_blocks(T), CHOOSE_THREADS, 0, cuda->stream>>>(
		data_of<const float>(call, 1), data_of<const float>(call, 3), dlogits, T, N);
	if (ddispatch)
		columns_backward<<<column_grid(T, N, group_of(call)), 64, 0, cuda->stream>>>(
			data_of<const float>(call, 0), ddispatch, dlogits, group_of(call), N);
	return launched(call);
}
