/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/order.h"
#include "codelets/cuda/pieces.cuh"
#include "codelets/cuda/reduce.cuh"

/* Arguments of every kernel here. An expert that does not exist is reported, and its entry counts
 * as dropped. */
struct lists
{
	size_t rows, topk, experts, dim;
	const int32_t *expert, *slot; /* (T, k) */
	fault_to fault;

	__device__ bool good(size_t i) const
	{
		int32_t e = expert[i];
		if (e >= 0 && (size_t)e < experts)
			return true;
		fault.set(FSMOE_FAULT_EXPERT, (long long)(i / topk), e, 0);
		return false;
	}
};

static lists lists_of(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, size_t experts)
{
	return lists{fsmoe_rows(call->tensor[0]),
		     fsmoe_columns(call->tensor[1]),
		     experts,
		     fsmoe_columns(call->tensor[0]),
		     data_of<const int32_t>(call, 1),
		     data_of<const int32_t>(call, 2),
		     fault_of(call, cuda)};
}

/* --- tokens to the slots of one chunk ------------------------------------------------------- */

/* entry (E, span): the list entry whose token is in a slot; -1, set before: nobody. */
static __global__ void invert(const __grid_constant__ lists l, size_t lo, size_t hi, int32_t *entry)
{
	size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;

	if (i >= l.rows * l.topk || l.slot[i] < 0)
		return;
	size_t s = (size_t)l.slot[i];
	if (s >= lo && s < hi && l.good(i))
		entry[(size_t)l.expert[i] * (hi - lo) + s - lo] = (int32_t)i;
}

/* Every row of the chunk is written once, straight where it is sent from. */
template <class T> struct fill_chunk
{
	const T *source;     /* (T, M) */
	const float *weight; /* (T, k) or NULL */
	const int32_t *entry;
	T *chunk; /* (E, span, M) */
	size_t topk, M;

	template <int V> __device__ void run(size_t row, size_t m) const
	{
		int32_t i = entry[row];
		pack<V> a = {};
		if (i >= 0)
			a = load<V>(source + (size_t)i / topk * M + m);
		if (i >= 0 && weight)
			for (int j = 0; j < V; j++)
				a.v[j] *= weight[i];
		store<V>(chunk + row * M + m, a);
	}
};

static size_t entries_of(const struct fsmoe_call *call)
{
	const struct fsmoe_order_args *a = static_cast<const struct fsmoe_order_args *>(call->args);

	return a->experts * (a->hi - a->lo);
}

template <class T>
static int scatter(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		   const float *weight, T *chunk)
{
	const struct fsmoe_order_args *a = static_cast<const struct fsmoe_order_args *>(call->args);
	const lists l = lists_of(call, cuda, a->experts);
	int32_t *entry = static_cast<int32_t *>(cuda->scratch);
	size_t rows = entries_of(call);
	fill_chunk<T> f = {data_of<const T>(call, 0), weight, entry, chunk, l.topk, l.dim};
	int err = enqueued(call, cudaMemsetAsync(entry, 0xff, rows * sizeof(*entry), cuda->stream));

	if (!err && l.rows > 0)
	{
		invert<<<(unsigned)((l.rows * l.topk + 255) / 256), 256, 0, cuda->stream>>>(
			l, a->lo, a->hi, entry);
		err = launched(call);
	}
	return err ? err : map_rows(call, cuda, f, rows, l.dim, aligned(f.source, chunk));
}

template <class T> static int order(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return scatter<T>(call, cuda, nullptr, data_of<T>(call, 3));
}

template <class T>
static int backward_chunk(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return scatter<T>(call, cuda, data_of<const float>(call, 3), data_of<T>(call, 4));
}

template <class T> static size_t scratch_bytes(const struct fsmoe_call *call)
{
	return entries_of(call) * sizeof(int32_t);
}

CUDA_KERNELS(order, order)
CUDA_KERNELS(inverse_order_backward_chunk, backward_chunk)
CUDA_SCRATCH(order, scratch_bytes)
CUDA_SCRATCH(inverse_order_backward_chunk, scratch_bytes)

/* --- slots of all chunks to tokens ---------------------------------------------------------- */

/* Where the slot of list entry i lies; NULL: in none of the pieces. */
template <class T> static __device__ const T *locate(const lists &l, const pieces<T> &p, size_t i)
{
	int32_t slot = l.slot[i];

	if (slot < 0 || (size_t)slot < p.at[0] || (size_t)slot >= p.at[p.n] || !l.good(i))
		return nullptr;
	return p.row((size_t)l.expert[i], (size_t)slot, l.dim);
}

/* Sums of a token's slots, weighted or not, in the order of its choices. */
template <class T> struct gather
{
	lists l;
	pieces<T> p;
	const float *weight; /* (T, k) or NULL */
	T *target;           /* (T, M) */

	template <int V> __device__ void run(size_t t, size_t m) const
	{
		pack<V> sum = {};
		for (size_t i = t * l.topk; i < (t + 1) * l.topk; i++)
		{
			const T *row = locate(l, p, i);
			if (!row)
				continue;
			pack<V> a = load<V>(row + m);
			float w = weight ? weight[i] : 1;
			for (int j = 0; j < V; j++)
				sum.v[j] += w * a.v[j];
		}
		store<V>(target + t * l.dim + m, sum);
	}
};

template <class T>
static int gathered(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		    const float *weight, size_t first)
{
	const struct fsmoe_cuts_args *a = static_cast<const struct fsmoe_cuts_args *>(call->args);
	gather<T> f = {lists_of(call, cuda, a->experts), {}, weight, data_of<T>(call, 0)};
	int err = pieces_of(call, a->n, a->at, first, &f.p);

	return err ? err
		   : map_rows(call, cuda, f, f.l.rows, f.l.dim, aligned(f.p) && aligned(f.target));
}

template <class T>
static int order_backward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return gathered<T>(call, cuda, nullptr, 3);
}

template <class T>
static int inverse_order(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return gathered<T>(call, cuda, data_of<const float>(call, 3), 4);
}

/* One warp a list entry. */
template <int V, class T>
static __global__ void dots(const __grid_constant__ lists l, const __grid_constant__ pieces<T> p,
			    const T *dy, /* (T, M) */
			    float *dweight /* (T, k) */)
{
	size_t i = (size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
	unsigned lane = threadIdx.x % 32;
	float sum = 0;

	if (i >= l.rows * l.topk)
		return;
	const T *row = locate(l, p, i), *g = dy + i / l.topk * l.dim;
	for (size_t m = lane * V; row && m < l.dim; m += 32 * V)
	{
		pack<V> a = load<V>(g + m), b = load<V>(row + m);
		for (int j = 0; j < V; j++)
			sum += a.v[j] * b.v[j];
	}
	sum = warp_sum(sum);
	if (lane == 0)
		dweight[i] = sum;
}

template <class T>
static int backward_weight(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_cuts_args *a = static_cast<const struct fsmoe_cuts_args *>(call->args);
	const lists l = lists_of(call, cuda, a->experts);
	pieces<T> p;
	int err = pieces_of(call, a->n, a->at, 4, &p);

	if (err || l.rows == 0)
		return err;
	const T *dy = data_of<const T>(call, 0);
	float *dweight = data_of<float>(call, 3);
	unsigned blocks = (unsigned)((l.rows * l.topk + 7) / 8);
	if (l.dim % WIDE == 0 && aligned(p) && aligned(dy))
		dots<WIDE><<<blocks, 256, 0, cuda->stream>>>(l, p, dy, dweight);
	else
		dots<1><<<blocks, 256, 0, cuda->stream>>>(l, p, dy, dweight);
	return launched(call);
}

CUDA_KERNELS(order_backward, order_backward)
CUDA_KERNELS(inverse_order, inverse_order)
CUDA_KERNELS(inverse_order_backward_weight, backward_weight)
