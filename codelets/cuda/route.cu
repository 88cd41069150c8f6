/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/route.h"
#include "codelets/cuda/choose.cuh"

/* Weights of tokens decide who has a slot where drops are by probability, so they too are computed
 * in the CPU's order, and exponentials in double, whose rounding to float does not depend on the
 * library but in one case of a hundred million. */
static __device__ __forceinline__ float exact_exp(float x)
{
	return (float)exp((double)x);
}

static __device__ __forceinline__ float sigmoid(float x)
{
	return __fdiv_rn(1, __fadd_rn(1, exact_exp(-x)));
}

struct routing
{
	const float *score;    /* (T, E) */
	int32_t *expert;       /* (T, width) */
	int32_t *slot;         /* (T, width) */
	float *weight;         /* (T, width) */
	int32_t *counts;       /* (groups, E) */
	size_t T, E, k, group; /* k: 0, the experts choose */
	size_t capacity;
	enum fsmoe_weights weights;
	fault_to fault;
};

static routing routing_of(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_route_args *a = static_cast<const struct fsmoe_route_args *>(call->args);

	return routing{data_of<const float>(call, 0),
		       data_of<int32_t>(call, 1),
		       data_of<int32_t>(call, 2),
		       data_of<float>(call, 3),
		       data_of<int32_t>(call, 4),
		       fsmoe_rows(call->tensor[0]),
		       fsmoe_columns(call->tensor[0]),
		       a->topk,
		       a->group,
		       a->capacity,
		       a->weights,
		       fault_of(call, cuda)};
}

/* --- one thread a token ----------------------------------------------------------------------- */

static __device__ size_t token_of_thread()
{
	return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static unsigned token_blocks(size_t T)
{
	return (unsigned)((T + 63) / 64);
}

/* The expert that comes next after `last` in the order of preference, or after none. */
static __device__ size_t next_best(const float *row, size_t E, bool any, size_t last)
{
	size_t best = E;

	for (size_t e = 0; e < E; e++)
	{
		if (any && (row[e] > row[last] || (row[e] == row[last] && e <= last)))
			continue;
		if (best == E || row[e] > row[best])
			best = e;
	}
	return best;
}

static __device__ float top_of(const float *row, size_t E)
{
	float top = row[0];

	for (size_t e = 1; e < E; e++)
		top = row[e] > top ? row[e] : top;
	return top;
}

static __device__ float sum_of_exps(const float *row, size_t E, float top)
{
	float sum = 0;

	for (size_t e = 0; e < E; e++)
		sum = __fadd_rn(sum, exact_exp(row[e] - top));
	return sum;
}

static __device__ void weigh(const routing &r, const float *row, const int32_t *expert,
			     float *weight)
{
	bool all = r.weights == FSMOE_WEIGHTS_ALL, chosen = r.weights == FSMOE_WEIGHTS_CHOSEN;
	float top = all ? top_of(row, r.E) : row[expert[0]], sum = 0;

	if (all)
		sum = sum_of_exps(row, r.E, top);
	for (size_t j = 0; j < r.k; j++)
	{
		float s = row[expert[j]];
		weight[j] = all || chosen ? exact_exp(s - top) : sigmoid(s);
		if (chosen)
			sum = __fadd_rn(sum, weight[j]);
	}
	for (size_t j = 0; (all || chosen) && j < r.k; j++)
		weight[j] = __fdiv_rn(weight[j], sum);
}

static __device__ bool all_finite(const routing &r, const float *row, size_t t)
{
	for (size_t e = 0; e < r.E; e++)
		if (!isfinite(row[e]))
		{
			r.fault.set(FSMOE_FAULT_LOGIT, (long long)t, (long long)e, 0);
			return false;
		}
	return true;
}

static __global__ void tokens_choose(const __grid_constant__ routing r)
{
	size_t t = token_of_thread(), last = 0;

	if (t >= r.T)
		return;
	const float *row = r.score + t * r.E;
	bool good = all_finite(r, row, t);
	for (size_t j = 0; j < r.k; j++)
	{
		/* Not numbers: the step fails, but stays inside its memory. */
		last = good ? next_best(row, r.E, j > 0, last) : j;
		r.expert[t * r.k + j] = (int32_t)last;
	}
	weigh(r, row, r.expert + t * r.k, r.weight + t * r.k);
}

/* --- slots by weight: one thread an entry ----------------------------------------------------- */

/* The place of every entry among those of its group that want the same expert: how many come before
 * it, by greater weight, of equals first choices first, then by token. */
static __global__ void rank_by_weight(const __grid_constant__ routing r)
{
	extern __shared__ char memory[];
	float *weight = reinterpret_cast<float *>(memory);
	int32_t *expert = reinterpret_cast<int32_t *>(weight + blockDim.x);
	size_t n = r.group * r.k, first = blockIdx.x * n;
	size_t i = (size_t)blockIdx.y * blockDim.x + threadIdx.x, before = 0;
	float mine = i < n ? r.weight[first + i] : 0;
	int32_t wanted = i < n ? r.expert[first + i] : -1;
	size_t place = i % r.k * r.group + i / r.k;

	for (size_t base = 0; base < n; base += blockDim.x)
	{
		if (base + threadIdx.x < n)
		{
			weight[threadIdx.x] = r.weight[first + base + threadIdx.x];
			expert[threadIdx.x] = r.expert[first + base + threadIdx.x];
		}
		__syncthreads();
		for (size_t o = base; o < n && o < base + blockDim.x; o++)
		{
			float w = weight[o - base];
			before += expert[o - base] == wanted &&
				  (w > mine || (w == mine && o % r.k * r.group + o / r.k < place));
		}
		__syncthreads();
	}
	if (i < n)
		r.slot[first + i] =
			before < r.capacity ? (int32_t)(blockIdx.x * r.capacity + before) : -1;
}

/* One block a group and expert. */
static __global__ void count_kept(const __grid_constant__ routing r)
{
	size_t n = r.group * r.k, first = blockIdx.x * n, count = 0;

	for (size_t base = 0; base < n; base += blockDim.x)
	{
		size_t i = base + threadIdx.x;
		count += (size_t)__syncthreads_count(i < n &&
						     r.expert[first + i] == (int32_t)blockIdx.y);
	}
	if (threadIdx.x == 0)
		r.counts[blockIdx.x * r.E + blockIdx.y] =
			(int32_t)(count < r.capacity ? count : r.capacity);
}

/* --- experts choose --------------------------------------------------------------------------- */

static __global__ void list_all(const __grid_constant__ routing r)
{
	size_t t = token_of_thread();

	if (t >= r.T)
		return;
	const float *row = r.score + t * r.E;
	bool all = r.weights == FSMOE_WEIGHTS_ALL;
	float top = all ? top_of(row, r.E) : 0, sum = all ? sum_of_exps(row, r.E, top) : 1;
	all_finite(r, row, t);
	for (size_t e = 0; e < r.E; e++)
	{
		r.expert[t * r.E + e] = (int32_t)e;
		r.weight[t * r.E + e] =
			all ? __fdiv_rn(exact_exp(row[e] - top), sum) : sigmoid(row[e]);
	}
}

/* One thread a token and expert: its place among the group's tokens in the expert's eyes. */
static __global__ void experts_choose(const __grid_constant__ routing r)
{
	size_t i = (size_t)blockIdx.y * blockDim.x + threadIdx.x, n = r.group * r.E, before = 0;

	if (i >= n)
		return;
	size_t e = i % r.E, t = i / r.E, first = blockIdx.x * n;
	float mine = r.score[first + i];
	for (size_t o = 0; o < r.group; o++)
	{
		float s = r.score[first + o * r.E + e];
		before += s > mine || (s == mine && o < t);
	}
	bool taken = before < r.capacity;
	r.slot[first + i] = taken ? (int32_t)(blockIdx.x * r.capacity + before) : -1;
	if (!taken)
		r.weight[first + i] = 0;
	if (t == 0)
		r.counts[blockIdx.x * r.E + e] = (int32_t)r.capacity;
}

/* One block per group and expert: softmax over its tokens. */
static __global__ void weigh_taken(const __grid_constant__ routing r)
{
	__shared__ float room[CHOOSE_WARPS];
	size_t at = blockIdx.x * r.group * r.E + blockIdx.y;
	float top = -INFINITY, sum = 0;

	for (size_t t = threadIdx.x; t < r.group; t += CHOOSE_THREADS)
		top = fmaxf(top, r.score[at + t * r.E]);
	top = block_max(top, room);
	for (size_t t = threadIdx.x; t < r.group; t += CHOOSE_THREADS)
		if (r.slot[at + t * r.E] >= 0)
			sum += r.weight[at + t * r.E] = exact_exp(r.score[at + t * r.E] - top);
	sum = block_sum(sum, room);
	for (size_t t = threadIdx.x; t < r.group; t += CHOOSE_THREADS)
		if (r.slot[at + t * r.E] >= 0)
			r.weight[at + t * r.E] /= sum;
}

static void route_by_experts(const routing &r, dim3 by_expert, cudaStream_t stream)
{
	dim3 grid(by_expert.x, (unsigned)((r.group * r.E + 255) / 256));

	list_all<<<token_blocks(r.T), 64, 0, stream>>>(r);
	experts_choose<<<grid, 256, 0, stream>>>(r);
	if (r.weights == FSMOE_WEIGHTS_CHOSEN)
		weigh_taken<<<by_expert, CHOOSE_THREADS, 0, stream>>>(r);
}

extern "C" int fsmoe_route_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_route_args *a = static_cast<const struct fsmoe_route_args *>(call->args);
	const routing r = routing_of(call, cuda);
	dim3 by_expert((unsigned)(r.T / r.group), (unsigned)r.E);
	dim3 by_entry(by_expert.x, (unsigned)((r.group * r.k + 255) / 256));

	if (r.T == 0)
		return 0;
	if (r.k == 0)
	{
		route_by_experts(r, by_expert, cuda->stream);
		return launched(call);
	}
	tokens_choose<<<token_blocks(r.T), 64, 0, cuda->stream>>>(r);
	if (a->drop == FSMOE_DROP_PROBABILITY)
	{
		rank_by_weight<<<by_entry, 256, 256 * (sizeof(float) + sizeof(int32_t)),
				 cuda->stream>>>(r);
		count_kept<<<by_expert, CHOOSE_THREADS, 0, cuda->stream>>>(r);
	}
	else
		number_choices<<<by_expert, NUMBER_THREADS, 0, cuda->stream>>>(
			r.expert, r.slot, r.counts, r.group, r.k, r.capacity,
			a->drop == FSMOE_DROP_TOKEN);
	return launched(call);
}

/* --- backward --------------------------------------------------------------------------------- */

struct routing_gradient
{
	const float *score;           /* (T, E) */
	const int32_t *expert, *slot; /* (T, width) */
	const float *weight, *dweight;
	float *dscore; /* (T, E), zeros before */
	size_t T, E, width, group;
	enum fsmoe_weights weights;
	bool by_tokens;
	fault_to fault;

	__device__ bool counts(size_t i) const
	{
		return by_tokens || slot[i] >= 0;
	}
};

/* Entries of the softmax over all experts. */
static __device__ void all_backward(const routing_gradient &g, size_t t, float mean)
{
	const float *row = g.score + t * g.E;
	float top = top_of(row, g.E), sum = sum_of_exps(row, g.E, top), *d = g.dscore + t * g.E;

	for (size_t e = 0; e < g.E; e++)
		d[e] = -mean * exact_exp(row[e] - top) / sum;
	for (size_t i = t * g.width; i < (t + 1) * g.width; i++)
		if (g.counts(i))
			d[g.expert[i]] += g.weight[i] * g.dweight[i];
}

static __global__ void token_gradients(const __grid_constant__ routing_gradient g)
{
	size_t t = token_of_thread();
	float mean = 0;

	if (t >= g.T)
		return;
	for (size_t i = t * g.width; i < (t + 1) * g.width; i++)
	{
		if (g.expert[i] < 0 || (size_t)g.expert[i] >= g.E)
		{
			g.fault.set(FSMOE_FAULT_EXPERT, (long long)t, g.expert[i], 0);
			return;
		}
		if (g.counts(i))
			mean += g.weight[i] * g.dweight[i];
	}
	if (g.weights == FSMOE_WEIGHTS_ALL)
		all_backward(g, t, mean);
	for (size_t i = t * g.width; g.weights != FSMOE_WEIGHTS_ALL && i < (t + 1) * g.width; i++)
	{
		float w = g.weight[i], *d = g.dscore + t * g.E + g.expert[i];
		if (g.weights == FSMOE_WEIGHTS_SIGMOID && g.counts(i))
			*d = w * (1 - w) * g.dweight[i];
		if (g.weights == FSMOE_WEIGHTS_CHOSEN && g.by_tokens)
			*d = w * (g.dweight[i] - mean);
	}
}

/* One block a group and expert: softmax over the tokens that it took. */
static __global__ void expert_gradients(const __grid_constant__ routing_gradient g)
{
	__shared__ float room[CHOOSE_WARPS];
	size_t at = blockIdx.x * g.group * g.E + blockIdx.y, end = at + g.group * g.E;
	float mean = 0;

	for (size_t i = at + threadIdx.x * g.E; i < end; i += CHOOSE_THREADS * g.E)
		if (g.slot[i] >= 0)
			mean += g.weight[i] * g.dweight[i];
	mean = block_sum(mean, room);
	for (size_t i = at + threadIdx.x * g.E; i < end; i += CHOOSE_THREADS * g.E)
		if (g.slot[i] >= 0)
			g.dscore[i] = g.weight[i] * (g.dweight[i] - mean);
}

extern "C" int fsmoe_route_backward_cuda(const struct fsmoe_call *call,
					 const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_route_args *a = static_cast<const struct fsmoe_route_args *>(call->args);
	size_t T = fsmoe_rows(call->tensor[0]), E = fsmoe_columns(call->tensor[0]);
	const routing_gradient g = {data_of<const float>(call, 0),
				    data_of<const int32_t>(call, 1),
				    data_of<const int32_t>(call, 2),
				    data_of<const float>(call, 3),
				    data_of<const float>(call, 4),
				    data_of<float>(call, 5),
				    T,
				    E,
				    fsmoe_columns(call->tensor[1]),
				    a->group,
				    a->weights,
				    a->topk > 0,
				    fault_of(call, cuda)};
	int err = enqueued(call, cudaMemsetAsync(g.dscore, 0, T * E * sizeof(float), cuda->stream));

	if (err || T == 0)
		return err;
	token_gradients<<<token_blocks(T), 64, 0, cuda->stream>>>(g);
	if (!g.by_tokens && g.weights == FSMOE_WEIGHTS_CHOSEN)
		expert_gradients<<<dim3((unsigned)(T / a->group), (unsigned)E), CHOOSE_THREADS, 0,
				   cuda->stream>>>(g);
	return launched(call);
}
