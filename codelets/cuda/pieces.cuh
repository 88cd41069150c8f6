/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_PIECES_CUH
#define FSMOE_CUDA_PIECES_CUH

#include "codelets/chunks.h"
#include "codelets/cuda/launch.cuh"
#include "codelets/cuts.h"

/* The slots of a layer in n pieces, passed to kernels by value: piece i holds [at[i], at[i + 1]) of
 * every block of rows, a block being a (source, expert) or an expert. */
static constexpr size_t PIECES = FSMOE_CUDA_CHUNKS;

template <class T> struct pieces
{
	size_t n;
	size_t at[PIECES + 1];
	T *data[PIECES];

	/* Which piece holds the slot, which must be in one. */
	__host__ __device__ size_t find(size_t slot) const
	{
		size_t i = 0;

		while (i + 1 < n && slot >= at[i + 1])
			i++;
		return i;
	}

	/* Row of `columns` elements of a slot of a block. */
	__host__ __device__ T *row(size_t block, size_t slot, size_t columns) const
	{
		size_t i = find(slot), span = at[i + 1] - at[i];

		return data[i] + (block * span + slot - at[i]) * columns;
	}
};

/* From cut points and consecutive accesses of a call. */
template <class T>
static inline int pieces_of(const struct fsmoe_call *call, size_t n, const size_t *at, size_t first,
			    pieces<T> *p)
{
	if (n > PIECES)
		return fsmoe_fail(EINVAL, "'%s' on a GPU takes %zu chunks at most, not %zu",
				  call->node->op->name, PIECES, n);
	*p = pieces<T>{};
	p->n = n;
	for (size_t i = 0; i < n; i++)
	{
		p->at[i] = at[i];
		p->data[i] = data_of<T>(call, first + i);
	}
	p->at[n] = at[n];
	return 0;
}

/* Slots [lo, hi) at one address. */
template <class T> static inline pieces<T> one_piece(size_t lo, size_t hi, T *data)
{
	pieces<T> p = {};

	p.n = 1;
	p.at[0] = lo;
	p.at[1] = hi;
	p.data[0] = data;
	return p;
}

template <class T> static inline bool aligned(const pieces<T> &p)
{
	bool all = true;

	for (size_t i = 0; i < p.n; i++)
		all = all && aligned(p.data[i]);
	return all;
}

#endif
