/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_loss.h"
#include "codelets/cuda/reduce.cuh"

/* One thread a token, then one block a group; what a group adds up is added in double. */

static constexpr unsigned THREADS = 256;

struct losses
{
	const float *logits, *noisy, *deviation; /* (T, E) */
	const int32_t *expert;                   /* (T, width) */
	size_t T, E, width, group, topk;
	double balance, importance, z;
	float *probs, *chances; /* (T, E) */
	float *lse;             /* (T) */
	double *sums; /* (groups, 3 E + 1): of probs, of chances, first choices; of lse^2 */
	double *loss; /* (groups) */
	float *dprobs, *dload; /* (groups, E): backward */
	fault_to fault;
};

static losses losses_of(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, scratch *s)
{
	const struct fsmoe_gate_loss_args *a =
		static_cast<const struct fsmoe_gate_loss_args *>(call->args);
	losses l = {};

	l.logits = data_of<const float>(call, 0);
	l.noisy = call->data[1] ? data_of<const float>(call, 1) : l.logits;
	l.deviation = data_of<const float>(call, 2);
	l.expert = data_of<const int32_t>(call, 3);
	l.T = fsmoe_rows(call->tensor[0]);
	l.E = fsmoe_columns(call->tensor[0]);
	l.width = call->tensor[3] ? fsmoe_columns(call->tensor[3]) : 0;
	l.group = a->group;
	l.topk = a->topk;
	l.balance = a->balance;
	l.importance = a->importance;
	l.z = a->z;
	l.probs = s->take<float>(l.T * l.E);
	l.chances = s->take<float>(l.T * l.E);
	l.lse = s->take<float>(l.T);
	l.sums = s->take<double>(l.T / l.group * (3 * l.E + 1));
	l.loss = s->take<double>(l.T / l.group);
	l.dprobs = s->take<float>(l.T / l.group * l.E);
	l.dload = s->take<float>(l.T / l.group * l.E);
	if (cuda)
		l.fault = fault_of(call, cuda);
	return l;
}

/* --- load ------------------------------------------------------------------------------------- */

/* The last expert that a token chose, and the first that it did not; E: it chose all. */
struct border
{
	const float *logits, *noisy;
	size_t last, next;
};

static __device__ border border_of(const losses &l, size_t t)
{
	border b = {l.logits + t * l.E, l.noisy + t * l.E, 0, l.E};
	size_t pick = 0;

	for (size_t j = 0; j <= l.topk && j < l.E; j++)
	{
		size_t best = l.E;
		for (size_t e = 0; e < l.E; e++)
		{
			if (j > 0 && (b.noisy[e] > b.noisy[pick] ||
				      (b.noisy[e] == b.noisy[pick] && e <= pick)))
				continue;
			if (best == l.E || b.noisy[e] > b.noisy[best])
				best = e;
		}
		if (best == l.E) /* not numbers */
			return b;
		pick = best;
		if (j + 1 == l.topk)
			b.last = pick;
		if (j == l.topk)
			b.next = pick;
	}
	return b;
}

/* Whom expert e must beat, the k-th of the others (E: nobody), and by how many deviations. */
static __device__ size_t compete(const losses &l, const border &b, size_t t, size_t e,
				 float *deviation, float *lead)
{
	bool chosen =
		b.noisy[e] > b.noisy[b.last] || (b.noisy[e] == b.noisy[b.last] && e <= b.last);
	size_t other = chosen ? b.next : b.last;

	*deviation = l.deviation ? l.deviation[t * l.E + e] : 1 / (float)l.E;
	*lead = other == l.E ? 0 : (b.logits[e] - b.noisy[other]) / *deviation;
	return other;
}

/* --- sums ------------------------------------------------------------------------------------- */

static __device__ size_t token_of_thread()
{
	return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static __global__ void measure_tokens(const __grid_constant__ losses l)
{
	size_t t = token_of_thread();
	float sum = 0;

	if (t >= l.T)
		return;
	const float *row = l.logits + t * l.E;
	float *probs = l.probs + t * l.E, top = row[0], deviation, lead;
	for (size_t e = 0; e < l.E; e++)
		top = fmaxf(top, row[e]);
	for (size_t e = 0; e < l.E; e++)
		sum += probs[e] = expf(row[e] - top);
	for (size_t e = 0; e < l.E; e++)
		probs[e] /= sum;
	l.lse[t] = top + logf(sum);
	if (l.importance == 0)
		return;
	const border b = border_of(l, t);
	for (size_t e = 0; e < l.E; e++)
		l.chances[t * l.E + e] = compete(l, b, t, e, &deviation, &lead) == l.E
						 ? 1
						 : erfcf(-lead * 0.70710678118654752440f) / 2;
}

static __device__ bool chose_first(const losses &l, size_t t, size_t e)
{
	int32_t first = l.expert[t * l.width];

	if (first < 0 || (size_t)first >= l.E)
		l.fault.set(FSMOE_FAULT_EXPERT, (long long)t, first, 0);
	return (size_t)first == e;
}

static __global__ void add_up(const __grid_constant__ losses l)
{
	__shared__ double room[THREADS / 32];
	size_t first = blockIdx.x * l.group, last = first + l.group;
	double *sums = l.sums + blockIdx.x * (3 * l.E + 1), squares = 0;

	for (size_t e = 0; e < l.E; e++)
	{
		double importance = 0, load = 0, chosen = 0;
		for (size_t t = first + threadIdx.x; t < last; t += THREADS)
		{
			importance += l.probs[t * l.E + e];
			if (l.importance != 0)
				load += l.chances[t * l.E + e];
			if (l.balance != 0)
				chosen += chose_first(l, t, e);
		}
		importance = block_sum(importance, room);
		load = block_sum(load, room);
		chosen = block_sum(chosen, room);
		if (threadIdx.x > 0)
			continue;
		sums[e] = importance;
		sums[l.E + e] = load;
		sums[2 * l.E + e] = chosen;
	}
	for (size_t t = first + threadIdx.x; t < last; t += THREADS)
		squares += (double)l.lse[t] * (double)l.lse[t];
	squares = block_sum(squares, room);
	if (threadIdx.x == 0)
		sums[3 * l.E] = squares;
}

/* mean(v^2) / mean(v)^2 - 1. */
static __device__ double variation(const double *v, size_t n)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++)
	{
		sum += v[i];
		squares += v[i] * v[i];
	}
	return sum > 0 ? squares * (double)n / (sum * sum) - 1 : 0;
}

/* One block, one thread a group. */
static __global__ void total(const __grid_constant__ losses l, float *out)
{
	__shared__ double room[THREADS / 32];
	double sum = 0, size = (double)l.group;

	for (size_t g = threadIdx.x; g < l.T / l.group; g += THREADS)
	{
		const double *sums = l.sums + g * (3 * l.E + 1);
		double dot = 0;
		for (size_t e = 0; e < l.E; e++)
			dot += sums[e] * sums[2 * l.E + e];
		sum += l.balance * (double)l.E * dot / size + l.z * sums[3 * l.E];
		if (l.importance != 0)
			sum += l.importance * size / 2 *
			       (variation(sums, l.E) + variation(sums + l.E, l.E));
	}
	sum = block_sum(sum, room);
	if (threadIdx.x == 0)
		*out = (float)sum;
}

static int measure(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const losses &l)
{
	if (l.T == 0)
		return 0;
	measure_tokens<<<(unsigned)((l.T + 63) / 64), 64, 0, cuda->stream>>>(l);
	add_up<<<(unsigned)(l.T / l.group), THREADS, 0, cuda->stream>>>(l);
	return launched(call);
}

extern "C" size_t fsmoe_gate_loss_cuda_scratch(const struct fsmoe_call *call)
{
	scratch s = {};

	losses_of(call, nullptr, &s);
	return s.used;
}

extern "C" int fsmoe_gate_loss_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	scratch s = scratch_of(cuda);
	const losses l = losses_of(call, cuda, &s);
	int err = measure(call, cuda, l);

	if (err)
		return err;
	total<<<1, THREADS, 0, cuda->stream>>>(l, data_of<float>(call, 5));
	return launched(call);
}

/* --- backward --------------------------------------------------------------------------------- */

/* scale times the gradient of variation(v). */
static __device__ void variation_backward(const double *v, size_t n, double scale, float *out)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++)
	{
		sum += v[i];
		squares += v[i] * v[i];
	}
	for (size_t i = 0; i < n; i++)
		out[i] = sum > 0 ? (float)(scale * 2 * (double)n / (sum * sum) *
					   (v[i] - squares / sum))
				 : 0;
}

/* One thread a group. */
static __global__ void group_gradients(const __grid_constant__ losses l, const float *dloss)
{
	size_t g = token_of_thread();

	if (g >= l.T / l.group)
		return;
	const double *sums = l.sums + g * (3 * l.E + 1);
	double size = (double)l.group, d = (double)*dloss, half = d * l.importance * size / 2;
	variation_backward(sums, l.E, half, l.dprobs + g * l.E);
	variation_backward(sums + l.E, l.E, half, l.dload + g * l.E);
	for (size_t e = 0; e < l.E; e++)
		l.dprobs[g * l.E + e] +=
			(float)(d * l.balance * (double)l.E / size * sums[2 * l.E + e]);
}

/* Where gradients go; the last two may be NULL. */
struct gradients
{
	const float *dloss;
	float *logits, *noisy, *deviation; /* (T, E) */
};

static __device__ void load_backward(const losses &l, const gradients &d, size_t t)
{
	const border b = border_of(l, t);
	size_t at = t * l.E;

	for (size_t e = 0; e < l.E; e++)
	{
		float deviation, lead, dlead;
		size_t other = compete(l, b, t, e, &deviation, &lead);
		if (other == l.E)
			continue;
		dlead = l.dload[t / l.group * l.E + e] * expf(-lead * lead / 2) *
			0.39894228040143267794f; /* 1 / sqrt(2 pi) */
		d.logits[at + e] += dlead / deviation;
		(d.noisy ? d.noisy : d.logits)[at + other] -= dlead / deviation;
		if (d.deviation)
			d.deviation[at + e] -= dlead * lead / deviation;
	}
}

static __global__ void token_gradients(const __grid_constant__ losses l, const gradients d)
{
	size_t t = token_of_thread(), at = t * l.E;
	float mean = 0;

	if (t >= l.T)
		return;
	const float *probs = l.probs + at, *dprobs = l.dprobs + t / l.group * l.E;
	float z = 2 * *d.dloss * (float)l.z * l.lse[t];
	for (size_t e = 0; e < l.E; e++)
		mean += probs[e] * dprobs[e];
	for (size_t e = 0; e < l.E; e++)
	{
		d.logits[at + e] = probs[e] * (dprobs[e] - mean + z);
		if (d.noisy)
			d.noisy[at + e] = 0;
		if (d.deviation)
			d.deviation[at + e] = 0;
	}
	if (l.importance != 0)
		load_backward(l, d, t);
}

extern "C" size_t fsmoe_gate_loss_backward_cuda_scratch(const struct fsmoe_call *call)
{
	return fsmoe_gate_loss_cuda_scratch(call);
}

extern "C" int fsmoe_gate_loss_backward_cuda(const struct fsmoe_call *call,
					     const struct fsmoe_cuda *cuda)
{
	scratch s = scratch_of(cuda);
	const losses l = losses_of(call, cuda, &s);
	const gradients d = {data_of<const float>(call, 5), data_of<float>(call, 6),
			     data_of<float>(call, 7), data_of<float>(call, 8)};
	int err = measure(call, cuda, l);

	if (err || l.T == 0)
		return err;
	group_gradients<<<(unsigned)((l.T / l.group + 63) / 64), 64, 0, cuda->stream>>>(l, d.dloss);
	token_gradients<<<(unsigned)((l.T + 63) / 64), 64, 0, cuda->stream>>>(l, d);
	return launched(call);
}
