/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/order_einsum.h"
#include "codelets/cpu/real.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"

#include <errno.h>

/* --- masks from lists --------------------------------------------------------------------- */

/* The column of list entry i of token t, or the number of columns: dropped. -EINVAL: there is no
 * such expert or slot in the token's group. */
static int column_of(const struct fsmoe_call *call, size_t t, int32_t expert, int32_t slot,
		     size_t *column)
{
	const struct fsmoe_einsum_sizes *s = call->args;
	size_t first = t / s->group * s->capacity;

	*column = s->experts * s->capacity;
	if (slot < 0)
		return 0;
	if (expert < 0 || (size_t)expert >= s->experts || (size_t)slot < first ||
	    (size_t)slot >= first + s->capacity)
		return fsmoe_fail(EINVAL, "%s: token row %zu names expert %d, slot %d",
				  call->node->op->name, t, (int)expert, (int)slot);
	*column = (size_t)expert * s->capacity + (size_t)slot - first;
	return 0;
}

int KERNEL(order_mask)(const struct fsmoe_call *call)
{
	const struct fsmoe_einsum_sizes *s = call->args;
	size_t n = fsmoe_count(call->tensor[0]), width = fsmoe_columns(call->tensor[0]), column;
	size_t columns = s->experts * s->capacity, bytes = n / width * columns * sizeof(real);
	const int32_t *expert = call->data[0], *slot = call->data[1];
	const real *weight = call->data[2];
	real *dispatch = call->data[3], *combine = call->data[4];

	memset(dispatch, 0, bytes);
	memset(combine, 0, bytes);
	for (size_t i = 0; i < n; i++)
	{
		if (column_of(call, i / width, expert[i], slot[i], &column))
			return -EINVAL;
		if (column == columns)
			continue;
		dispatch[i / width * columns + column] = 1;
		combine[i / width * columns + column] = weight[i];
	}
	return 0;
}

int KERNEL(order_mask_backward)(const struct fsmoe_call *call)
{
	const struct fsmoe_einsum_sizes *s = call->args;
	size_t n = fsmoe_count(call->tensor[0]), width = fsmoe_columns(call->tensor[0]), column;
	size_t columns = s->experts * s->capacity;
	const int32_t *expert = call->data[0], *slot = call->data[1];
	const real *dcombine = call->data[2];
	real *dweight = call->data[3];

	for (size_t i = 0; i < n; i++)
	{
		if (column_of(call, i / width, expert[i], slot[i], &column))
			return -EINVAL;
		dweight[i] = column < columns ? dcombine[i / width * columns + column] : 0;
	}
	return 0;
}

/* --- products ----------------------------------------------------------------------------- */

struct sizes
{
	size_t rows, dim, group, groups, experts, capacity, columns;
};

static struct sizes sizes_of(const struct fsmoe_call *call)
{
	const struct fsmoe_einsum_args *a = call->args;
	size_t rows = fsmoe_rows(call->tensor[0]);

	return (struct sizes){rows,
			      fsmoe_columns(call->tensor[0]),
			      a->sizes.group,
			      rows / a->sizes.group,
			      a->sizes.experts,
			      a->sizes.capacity,
			      a->sizes.experts * a->sizes.capacity};
}

int KERNEL(einsum_slots)(const struct fsmoe_call *call)
{
	const struct fsmoe_einsum_args *a = call->args;
	const struct sizes s = sizes_of(call);
	size_t lo = a->at[0], hi = a->at[1];
	const real *rows = call->data[0], *mask = call->data[1];
	real *chunk = call->data[2];

	for (size_t g = lo / s.capacity; g * s.capacity < hi; g++)
	{
		size_t from = g * s.capacity > lo ? g * s.capacity : lo;
		size_t to = (g + 1) * s.capacity < hi ? (g + 1) * s.capacity : hi;
		for (size_t e = 0; e < s.experts; e++)
			gemm(1, 0, to - from, s.dim, s.group, 1,
			     &mask[g * s.group * s.columns + e * s.capacity + from -
				   g * s.capacity],
			     s.columns, &rows[g * s.group * s.dim], s.dim, 0,
			     &chunk[(e * (hi - lo) + from - lo) * s.dim], s.dim);
	}
	return 0;
}

/* The slots of group g from all chunks, (E C, M). */
static void pack(const struct fsmoe_call *call, const struct sizes *s, size_t g, real *packed)
{
	const struct fsmoe_einsum_args *a = call->args;

	for (size_t p = 0; p < s->capacity; p++)
	{
		size_t slot = g * s->capacity + p, piece = fsmoe_cuts_find(a->at, a->n, slot);
		for (size_t e = 0; e < s->experts; e++)
		{
			real *to = &packed[(e * s->capacity + p) * s->dim];
			if (piece == a->n)
			{
				memset(to, 0, s->dim * sizeof(*to));
				continue;
			}
			size_t lo = a->at[piece], span = a->at[piece + 1] - lo;
			memcpy(to,
			       (const real *)call->data[3 + piece] +
				       (e * span + slot - lo) * s->dim,
			       s->dim * sizeof(*to));
		}
	}
}

int KERNEL(einsum_rows)(const struct fsmoe_call *call)
{
	const struct sizes s = sizes_of(call);
	real *rows = call->data[0], *packed = call->data[2];
	const real *mask = call->data[1];

	for (size_t g = 0; g < s.groups; g++)
	{
		pack(call, &s, g, packed);
		gemm(0, 0, s.group, s.dim, s.columns, 1, &mask[g * s.group * s.columns], s.columns,
		     packed, s.dim, 0, &rows[g * s.group * s.dim], s.dim);
	}
	return 0;
}

int KERNEL(einsum_mask)(const struct fsmoe_call *call)
{
	const struct sizes s = sizes_of(call);
	const real *rows = call->data[0];
	real *dmask = call->data[1], *packed = call->data[2];

	for (size_t g = 0; g < s.groups; g++)
	{
		pack(call, &s, g, packed);
		gemm(0, 1, s.group, s.columns, s.dim, 1, &rows[g * s.group * s.dim], s.dim, packed,
		     s.dim, 0, &dmask[g * s.group * s.columns], s.columns);
	}
	return 0;
}
