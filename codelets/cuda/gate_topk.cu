/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_topk.h"
#include "codelets/cuda/reduce.cuh"

#define THREADS 256
#define WARPS   (THREADS / 32)

/* --- scores, choices, weights: one warp a token --------------------------------------------- */

/* The logits of a token, to `row`. The order of additions is that of the CPU's kernel, eight
 * running sums and a tree, and nothing is fused: the logits are the same bits there and here, and so
 * are all decisions. Eight lanes share a dot product, a warp works on sixteen experts at a time. */
static __device__ void logits(const float *x,  /* (M) */
			      const float *wg, /* (E, M) */
			      float *row,      /* (E) */
			      size_t M, size_t E, size_t t, fault_to fault)
{
	unsigned lane = threadIdx.x % 8, group = threadIdx.x % 32 / 8;

	for (size_t first = 4 * group; first - 4 * group < E; first += 16)
	{
		float sum[4] = {0, 0, 0, 0};
		for (size_t i = lane; i < M; i += 8)
			for (int q = 0; q < 4; q++)
				if (first + q < E)
					sum[q] = __fadd_rn(
						sum[q], __fmul_rn(x[i], wg[(first + q) * M + i]));
		for (int q = 0; q < 4; q++)
		{
			for (int step = 4; step > 0; step /= 2)
				sum[q] =
					__fadd_rn(sum[q], __shfl_xor_sync(FULL_WARP, sum[q], step));
			if (lane > 0 || first + q >= E)
				continue;
			row[first + q] = sum[q];
			if (!isfinite(sum[q]))
				fault.set(FSMOE_FAULT_LOGIT, (long long)t, (long long)(first + q),
					  0);
		}
	}
	__syncwarp();
}

/* Of two candidates the likelier, of equals the lower number; -1: none. */
static __device__ __forceinline__ int better(int a, float va, int b, float vb)
{
	if (b < 0 || (a >= 0 && (va > vb || (va == vb && a < b))))
		return a;
	return b;
}

/* The expert that comes next after `last` (-1: at the start) in the order of preference. */
static __device__ int next_choice(const float *row, int E, int last)
{
	float last_value = last < 0 ? 0 : row[last], value = 0;
	int best = -1;

	for (int e = (int)(threadIdx.x % 32); e < E; e += 32)
	{
		float v = row[e];
		if (last >= 0 && (v > last_value || (v == last_value && e <= last)))
			continue;
		if (better(best, value, e, v) == best && best >= 0)
			continue;
		best = e;
		value = v;
	}
	for (int step = 16; step > 0; step /= 2)
	{
		int other = __shfl_xor_sync(FULL_WARP, best, step);
		float other_value = __shfl_xor_sync(FULL_WARP, value, step);
		if (better(best, value, other, other_value) != best)
		{
			best = other;
			value = other_value;
		}
	}
	return best;
}

static __device__ void softmax(float *row, size_t E, float top)
{
	unsigned lane = threadIdx.x % 32;
	float sum = 0;

	for (size_t e = lane; e < E; e += 32)
		sum += row[e] = expf(row[e] - top);
	sum = warp_sum(sum);
	for (size_t e = lane; e < E; e += 32)
		row[e] /= sum;
	__syncwarp();
}

static __global__ void choose(const float *x,  /* (T, M) */
			      const float *wg, /* (E, M) */
			      int32_t *expert, /* (T, k) */
			      float *weight,   /* (T, k) */
			      float *probs,    /* (T, E) */
			      size_t T, size_t M, size_t E, size_t k, fault_to fault)
{
	size_t t = (size_t)blockIdx.x * WARPS + threadIdx.x / 32;

	if (t >= T)
		return;
	float *row = probs + t * E, sum = 0, top = 0;
	logits(x + t * M, wg, row, M, E, t, fault);
	for (int j = 0, last = -1; j < (int)k; j++)
	{
		int next = next_choice(row, (int)E, last);
		if (next < 0) /* not numbers: the step fails, but stays inside its memory */
			next = j;
		if (j == 0)
			top = row[next];
		if (threadIdx.x % 32 == 0)
			expert[t * k + j] = next;
		last = next;
	}
	__syncwarp();
	softmax(row, E, top);
	if (threadIdx.x % 32 > 0)
		return;
	for (size_t j = 0; j < k; j++)
		sum += weight[t * k + j] = row[expert[t * k + j]];
	for (size_t j = 0; k > 1 && j < k; j++)
		weight[t * k + j] /= sum;
}

/* --- slots: one block a group and expert ---------------------------------------------------- */

/* Goes through the group's choices, all first ones in token order before all second ones, and
 * numbers those of its expert. */
static __global__ void number(const int32_t *expert, /* (T, k) */
			      int32_t *slot,         /* (T, k) */
			      int32_t *counts,       /* (groups, E) */
			      size_t group, size_t k, size_t capacity)
{
	__shared__ unsigned warp_count[2][WARPS];
	unsigned warp = threadIdx.x / 32, below = (1u << threadIdx.x % 32) - 1, turn = 0;
	size_t first = blockIdx.y * group, position = 0;
	int32_t mine = (int32_t)blockIdx.x;

	for (size_t j = 0; j < k; j++)
		for (size_t base = 0; base < group; base += THREADS, turn ^= 1)
		{
			size_t i = (first + base + threadIdx.x) * k + j, at = position;
			bool hit = base + threadIdx.x < group && expert[i] == mine;
			unsigned ballot = __ballot_sync(FULL_WARP, hit);
			if (threadIdx.x % 32 == 0)
				warp_count[turn][warp] = (unsigned)__popc(ballot);
			__syncthreads();
			for (unsigned w = 0; w < WARPS; w++)
			{
				at += w < warp ? warp_count[turn][w] : 0;
				position += warp_count[turn][w];
			}
			at += (unsigned)__popc(ballot & below);
			if (hit)
				slot[i] =
					at < capacity ? (int32_t)(blockIdx.y * capacity + at) : -1;
		}
	if (threadIdx.x == 0)
		counts[(size_t)blockIdx.y * gridDim.x + blockIdx.x] =
			(int32_t)(position < capacity ? position : capacity);
}

extern "C" int fsmoe_gate_topk_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_gate_topk_args *a =
		static_cast<const struct fsmoe_gate_topk_args *>(call->args);
	size_t T = call->tensor[0]->shape.dim[0], M = call->tensor[0]->shape.dim[1];
	size_t E = call->tensor[1]->shape.dim[0];
	int32_t *expert = data_of<int32_t>(call, 2);

	if (T == 0)
		return 0;
	choose<<<(unsigned)((T + WARPS - 1) / WARPS), THREADS, 0, cuda->stream>>>(
		data_of<const float>(call, 0), data_of<const float>(call, 1), expert,
		data_of<float>(call, 4), data_of<float>(call, 5), T, M, E, a->topk,
		fault_of(call, cuda));
	number<<<dim3((unsigned)E, (unsigned)(T / a->group)), THREADS, 0, cuda->stream>>>(
		expert, data_of<int32_t>(call, 3), data_of<int32_t>(call, 6), a->group, a->topk,
		a->capacity);
	return launched(call);
}

/* --- backward ------------------------------------------------------------------------------- */

struct chosen
{
	const int32_t *expert;         /* (T, k) */
	const float *weight, *probs;   /* (T, k), (T, E) */
	const float *dweight, *dprobs; /* (T, k), (T, E); either may be NULL */
	float *dlogits;                /* (T, E) */
	size_t T, E, k;
	fault_to fault;
};

/* What the weights' gradients add to that of one logit. Several weights that share out 1 are the
 * softmax over the chosen logits alone; a single one is an entry of the softmax over all. `mean`:
 * sum of weight * dweight. */
static __device__ float from_weights(const chosen &c, size_t t, size_t e, float prob, float mean)
{
	float d = c.k == 1 ? -prob * mean : 0;

	for (size_t j = 0; j < c.k; j++)
	{
		size_t i = t * c.k + j;
		if ((size_t)c.expert[i] == e)
			d += c.k == 1 ? mean : c.weight[i] * (c.dweight[i] - mean);
	}
	return d;
}

/* One warp a token. */
static __global__ void dlogits(const __grid_constant__ chosen c)
{
	size_t t = (size_t)blockIdx.x * WARPS + threadIdx.x / 32;
	unsigned lane = threadIdx.x % 32;
	float mean = 0, mean_weights = 0;

	if (t >= c.T)
		return;
	for (size_t j = lane; j < c.k; j += 32)
	{
		int32_t e = c.expert[t * c.k + j];
		if (e < 0 || (size_t)e >= c.E)
			c.fault.set(FSMOE_FAULT_EXPERT, (long long)t, e, 0);
	}
	for (size_t e = lane; c.dprobs && e < c.E; e += 32)
		mean += c.probs[t * c.E + e] * c.dprobs[t * c.E + e];
	mean = warp_sum(mean);
	for (size_t j = 0; c.dweight && j < c.k; j++)
		mean_weights += c.weight[t * c.k + j] * c.dweight[t * c.k + j];
	for (size_t e = lane; e < c.E; e += 32)
	{
		size_t i = t * c.E + e;
		float d = c.dprobs ? c.probs[i] * (c.dprobs[i] - mean) : 0;
		if (c.dweight)
			d += from_weights(c, t, e, c.probs[i], mean_weights);
		c.dlogits[i] = d;
	}
}

extern "C" int fsmoe_gate_topk_backward_cuda(const struct fsmoe_call *call,
					     const struct fsmoe_cuda *cuda)
{
	size_t T = call->tensor[0]->shape.dim[0], M = call->tensor[0]->shape.dim[1];
	size_t E = call->tensor[1]->shape.dim[0], k = call->tensor[2]->shape.dim[1];
	const float *x = data_of<const float>(call, 0), *wg = data_of<const float>(call, 1);
	float *dwg = data_of<float>(call, 7), *dx = data_of<float>(call, 8);
	float *d = data_of<float>(call, 9);
	chosen c = {data_of<const int32_t>(call, 2),
		    data_of<const float>(call, 3),
		    data_of<const float>(call, 4),
		    data_of<const float>(call, 5),
		    data_of<const float>(call, 6),
		    d,
		    T,
		    E,
		    k,
		    fault_of(call, cuda)};
	int err;

	if (T == 0)
		return 0;
	dlogits<<<(unsigned)((T + WARPS - 1) / WARPS), THREADS, 0, cuda->stream>>>(c);
	err = launched(call);
	if (dwg && !err)
		err = multiply(call, cuda,
			       product{true, false, E, M, T, d, E, 0, x, M, 0, dwg, M, 0, 1, 1, 1});
	if (dx && !err)
		err = multiply(
			call, cuda,
			product{false, false, T, M, E, d, E, 0, wg, M, 0, dx, M, 0, 1, 1, 0});
	return err;
}
