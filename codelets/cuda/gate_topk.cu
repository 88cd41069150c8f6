/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_topk.h"
#include "codelets/cuda/choose.cuh"
#include "codelets/cuda/logits.cuh"

/* Choices, weights, and what the logits become: one warp a token. */
static __global__ void choose(int32_t *expert, /* (T, k) */
			      float *weight,   /* (T, k) */
			      float *probs,    /* (T, E), the logits */
			      size_t T, size_t E, size_t k, fault_to fault)
{
	size_t t = (size_t)blockIdx.x * CHOOSE_WARPS + threadIdx.x / 32;

	if (t >= T)
		return;
	float *row = probs + t * E, sum = 0, top = 0;
	check_logits(row, E, t, fault);
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

template <class X> static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_gate_topk_args *a =
		static_cast<const struct fsmoe_gate_topk_args *>(call->args);
	size_t T = call->tensor[0]->shape.dim[0], M = call->tensor[0]->shape.dim[1];
	size_t E = call->tensor[1]->shape.dim[0];
	int32_t *expert = data_of<int32_t>(call, 2);
	float *probs = data_of<float>(call, 5);
	int err;

	if (T == 0)
		return 0;
	err = fixed_logits(call, cuda, data_of<const X>(call, 0), data_of<const float>(call, 1),
			   probs, T, M, E);
	if (err)
		return err;
	choose<<<(unsigned)((T + CHOOSE_WARPS - 1) / CHOOSE_WARPS), CHOOSE_THREADS, 0,
		 cuda->stream>>>(expert, data_of<float>(call, 4), probs, T, E, a->topk,
				 fault_of(call, cuda));
	number_choices<<<dim3((unsigned)(T / a->group), (unsigned)E), NUMBER_THREADS, 0,
			 cuda->stream>>>(expert, data_of<int32_t>(call, 3),
					 data_of<int32_t>(call, 6), a->group, a->topk, a->capacity,
					 false);
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

/* The weights' contribution to the gradient of one logit. Several weights that sum to 1 are the
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
	size_t t = (size_t)blockIdx.x * CHOOSE_WARPS + threadIdx.x / 32;
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

/* Sums of dwg, of so many experts at once: x is read once for them. Float whatever x is, and not by
 * cuBLAS: its products would round factors, and there are few experts. */
static constexpr unsigned EXPERTS_AT_ONCE = 4;

/* The first stage of add_columns (reduce.cuh), a matrix an expert. */
template <int V, class X>
static __global__ void weight_sums(const X *x,           /* (T, M) */
				   const float *dlogits, /* (T, E) */
				   float *partial,       /* (E, slices, M) */
				   size_t T, size_t M, size_t E)
{
	__shared__ pack<V> lane[ROW_LANES][COLUMN_LANES];
	const size_t m = ((size_t)blockIdx.x * COLUMN_LANES + threadIdx.x) * V;
	const size_t slices = gridDim.y, slice = blockIdx.y, expert = blockIdx.z * EXPERTS_AT_ONCE;
	const size_t first = T * slice / slices, last = T * (slice + 1) / slices;
	pack<V> sum[EXPERTS_AT_ONCE] = {};

	if (m < M)
#pragma unroll 2
		for (size_t t = first + threadIdx.y; t < last; t += ROW_LANES)
		{
			pack<V> a = load<V>(x + t * M + m);
			for (unsigned q = 0; q < EXPERTS_AT_ONCE; q++)
			{
				float d = expert + q < E ? dlogits[t * E + expert + q] : 0;
				for (int j = 0; j < V; j++)
					sum[q].v[j] += d * a.v[j];
			}
		}
	for (unsigned q = 0; q < EXPERTS_AT_ONCE && expert + q < E; q++)
	{
		__syncthreads();
		lane[threadIdx.y][threadIdx.x] = sum[q];
		__syncthreads();
		if (threadIdx.y > 0 || m >= M)
			continue;
		for (unsigned l = 1; l < ROW_LANES; l++)
			for (int j = 0; j < V; j++)
				sum[q].v[j] += lane[l][threadIdx.x].v[j];
		for (int j = 0; j < V; j++)
			partial[((expert + q) * slices + slice) * M + m + j] = sum[q].v[j];
	}
}

static size_t passes(size_t E)
{
	return (E + EXPERTS_AT_ONCE - 1) / EXPERTS_AT_ONCE;
}

template <class X>
static int add_weights(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const X *x,
		       const float *dlogits, float *dwg, size_t T, size_t M, size_t E)
{
	const bool wide = M % WIDE == 0 && aligned(x);
	const size_t slices = column_slices(T, M, passes(E)), packs = wide ? M / WIDE : M;
	const dim3 grid((unsigned)((packs + COLUMN_LANES - 1) / COLUMN_LANES), (unsigned)slices,
			(unsigned)passes(E));
	const dim3 block(COLUMN_LANES, ROW_LANES);
	float *partial = static_cast<float *>(cuda->scratch);

	if (wide)
		weight_sums<WIDE><<<grid, block, 0, cuda->stream>>>(x, dlogits, partial, T, M, E);
	else
		weight_sums<1><<<grid, block, 0, cuda->stream>>>(x, dlogits, partial, T, M, E);
	column_stage2<<<blocks_for(E * M, 128), 128, 0, cuda->stream>>>(partial, slices, M, E, dwg);
	return launched(call);
}

/* The rows of dx. */
template <class X> struct input_rows
{
	const float *wg, *dlogits; /* (E, M), (T, E) */
	X *dx;                     /* (T, M) */
	size_t M, E;

	template <int V> __device__ void run(size_t t, size_t m) const
	{
		pack<V> sum = {};
		for (size_t e = 0; e < E; e++)
		{
			pack<V> w = load<V>(wg + e * M + m);
			for (int j = 0; j < V; j++)
				sum.v[j] += dlogits[t * E + e] * w.v[j];
		}
		store<V>(dx + t * M + m, sum);
	}
};

extern "C" size_t fsmoe_gate_topk_backward_cuda_scratch(const struct fsmoe_call *call)
{
	const size_t *x = call->tensor[0]->shape.dim;

	const size_t E = call->tensor[1]->shape.dim[0];

	return call->tensor[7] ? column_slices(x[0], x[1], passes(E)) * x[1] * E * sizeof(float)
			       : 0;
}

template <class X> static int backward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	size_t T = call->tensor[0]->shape.dim[0], M = call->tensor[0]->shape.dim[1];
	size_t E = call->tensor[1]->shape.dim[0], k = call->tensor[2]->shape.dim[1];
	const X *x = data_of<const X>(call, 0);
	float *dwg = data_of<float>(call, 7), *d = data_of<float>(call, 9);
	input_rows<X> f = {data_of<const float>(call, 1), d, data_of<X>(call, 8), M, E};
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
	dlogits<<<(unsigned)((T + CHOOSE_WARPS - 1) / CHOOSE_WARPS), CHOOSE_THREADS, 0,
		  cuda->stream>>>(c);
	err = launched(call);
	if (dwg && !err)
		err = add_weights(call, cuda, x, d, dwg, T, M, E);
	if (f.dx && !err)
		err = map_rows(call, cuda, f, T, M, aligned(f.wg, f.dx));
	return err;
}

CUDA_KERNELS(gate_topk, forward)
CUDA_KERNELS(gate_topk_backward, backward)
