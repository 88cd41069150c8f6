/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/order_einsum.h"
#include "codelets/cuda/pieces.cuh"
#include "codelets/cuda/product.cuh"

/* --- masks from lists ------------------------------------------------------------------------- */

struct mask_lists
{
	const int32_t *expert, *slot; /* (T, width) */
	size_t n, width, experts, capacity, group;
	fault_to fault;

	/* Position of list entry i in its token's row; false: dropped, or out of range. */
	__device__ bool find(size_t i, size_t *at) const
	{
		size_t t = i / width, first = t / group * capacity;
		int32_t e = expert[i], s = slot[i];

		if (s < 0)
			return false;
		if (e < 0 || (size_t)e >= experts || (size_t)s < first ||
		    (size_t)s >= first + capacity)
		{
			fault.set(FSMOE_FAULT_EXPERT, (long long)t, e, 0);
			return false;
		}
		*at = (t * experts + (size_t)e) * capacity + (size_t)s - first;
		return true;
	}
};

static mask_lists lists_of(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_einsum_sizes *s =
		static_cast<const struct fsmoe_einsum_sizes *>(call->args);

	return mask_lists{data_of<const int32_t>(call, 0),
			  data_of<const int32_t>(call, 1),
			  fsmoe_count(call->tensor[0]),
			  fsmoe_columns(call->tensor[0]),
			  s->experts,
			  s->capacity,
			  s->group,
			  fault_of(call, cuda)};
}

/* Into zeros. */
struct mark
{
	mask_lists l;
	const float *weight;       /* (T, width) */
	float *dispatch, *combine; /* (T, E C) */

	template <int V> __device__ void run(size_t i) const
	{
		size_t at;

		if (!l.find(i, &at))
			return;
		dispatch[at] = 1;
		combine[at] = weight[i];
	}
};

extern "C" int fsmoe_order_mask_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	mark f = {lists_of(call, cuda), data_of<const float>(call, 2), data_of<float>(call, 3),
		  data_of<float>(call, 4)};
	size_t bytes = fsmoe_count(call->tensor[3]) * sizeof(float);
	int err = enqueued(call, cudaMemsetAsync(f.dispatch, 0, bytes, cuda->stream));

	if (!err)
		err = enqueued(call, cudaMemsetAsync(f.combine, 0, bytes, cuda->stream));
	return err ? err : map(call, cuda, f, f.l.n, false);
}

struct pick
{
	mask_lists l;
	const float *dcombine; /* (T, E C) */
	float *dweight;        /* (T, width) */

	template <int V> __device__ void run(size_t i) const
	{
		size_t at;

		dweight[i] = l.find(i, &at) ? dcombine[at] : 0;
	}
};

extern "C" int fsmoe_order_mask_backward_cuda(const struct fsmoe_call *call,
					      const struct fsmoe_cuda *cuda)
{
	pick f = {lists_of(call, cuda), data_of<const float>(call, 2), data_of<float>(call, 3)};

	return map(call, cuda, f, f.l.n, false);
}

/* --- products --------------------------------------------------------------------------------- */

struct sizes
{
	size_t dim, group, groups, experts, capacity, columns;
};

static sizes sizes_of(const struct fsmoe_call *call)
{
	const struct fsmoe_einsum_args *a =
		static_cast<const struct fsmoe_einsum_args *>(call->args);

	return sizes{fsmoe_columns(call->tensor[0]),
		     a->sizes.group,
		     fsmoe_rows(call->tensor[0]) / a->sizes.group,
		     a->sizes.experts,
		     a->sizes.capacity,
		     a->sizes.experts * a->sizes.capacity};
}

/* Room for the mask as a factor. */
template <class T> static size_t mask_scratch(const struct fsmoe_call *call)
{
	scratch s = {};

	s.take<T>(narrowing<T>(call, 1));
	return s.used;
}

/* For every group that the chunk meets, all experts at once. */
template <class T> static int slots(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_einsum_args *a =
		static_cast<const struct fsmoe_einsum_args *>(call->args);
	const sizes s = sizes_of(call);
	size_t lo = a->at[0], hi = a->at[1], C = s.capacity;
	const T *rows = data_of<const T>(call, 0), *mask;
	T *chunk = data_of<T>(call, 2);
	scratch room = scratch_of(cuda);
	int err = narrowed(call, cuda, 1, &room, &mask);

	for (size_t g = lo / C; g * C < hi && !err; g++)
	{
		size_t from = g * C > lo ? g * C : lo, to = (g + 1) * C < hi ? (g + 1) * C : hi;
		const T *slots = mask + g * s.group * s.columns + from - g * C;
		err = multiply(call, cuda,
			       product(to - from, s.dim, s.group, transposed(slots, s.columns, C),
				       plain(rows + g * s.group * s.dim, s.dim),
				       into(chunk + (from - lo) * s.dim, s.dim, (hi - lo) * s.dim),
				       s.experts));
	}
	return err;
}

/* The slots of group g from all chunks, (E C, M); zeros where there are none. */
template <class T> struct pack_slots
{
	pieces<T> p;
	T *packed;
	size_t first, capacity, dim;

	template <int V> __device__ void run(size_t row, size_t m) const
	{
		size_t slot = first + row % capacity;
		pack<V> x = {};

		if (slot >= p.at[0] && slot < p.at[p.n])
			x = load<V>(p.row(row / capacity, slot, dim) + m);
		store<V>(packed + row * dim + m, x);
	}
};

template <class T>
static int packed_group(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			const sizes &s, pack_slots<T> *f, size_t g)
{
	f->first = g * s.capacity;
	return map_rows(call, cuda, *f, s.columns, s.dim, aligned(f->p) && aligned(f->packed));
}

template <class T> static int packing_of(const struct fsmoe_call *call, pack_slots<T> *f)
{
	const struct fsmoe_einsum_args *a =
		static_cast<const struct fsmoe_einsum_args *>(call->args);

	f->packed = data_of<T>(call, 2);
	f->capacity = a->sizes.capacity;
	f->dim = fsmoe_columns(call->tensor[0]);
	return pieces_of(call, a->n, a->at, 3, &f->p);
}

template <class T> static int rows(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const sizes s = sizes_of(call);
	T *out = data_of<T>(call, 0);
	const T *mask, *packed = data_of<const T>(call, 2);
	scratch room = scratch_of(cuda);
	pack_slots<T> f = {};
	int err = packing_of(call, &f);

	if (!err)
		err = narrowed(call, cuda, 1, &room, &mask);
	for (size_t g = 0; g < s.groups && !err; g++)
	{
		err = packed_group(call, cuda, s, &f, g);
		if (!err)
			err = multiply(call, cuda,
				       product(s.group, s.dim, s.columns,
					       plain(mask + g * s.group * s.columns, s.columns),
					       plain(packed, s.dim),
					       into(out + g * s.group * s.dim, s.dim)));
	}
	return err;
}

template <class T> static int dmask(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const sizes s = sizes_of(call);
	const T *x = data_of<const T>(call, 0), *packed = data_of<const T>(call, 2);
	float *out = data_of<float>(call, 1);
	pack_slots<T> f = {};
	int err = packing_of(call, &f);

	for (size_t g = 0; g < s.groups && !err; g++)
	{
		err = packed_group(call, cuda, s, &f, g);
		if (!err)
			err = multiply(call, cuda,
				       product(s.group, s.columns, s.dim,
					       plain(x + g * s.group * s.dim, s.dim),
					       transposed(packed, s.dim),
					       into(out + g * s.group * s.columns, s.columns)));
	}
	return err;
}

CUDA_KERNELS(einsum_slots, slots)
CUDA_KERNELS(einsum_rows, rows)
CUDA_KERNELS(einsum_mask, dmask)
CUDA_SCRATCH(einsum_slots, mask_scratch)
CUDA_SCRATCH(einsum_rows, mask_scratch)
