/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_FILLED_H
#define FSMOE_FILLED_H

#include <fsmoe/module.h>

/*
 * Where nothing is dropped an expert has as many slots of a group as there are tokens in it, for
 * all of them may want it, and most slots hold nobody. What moves or multiplies a chunk then goes
 * by counts: of (group, expert) the first `count` slots hold a row, and nothing else is read or
 * written, of whatever tensor.
 *
 * A chunk is (blocks, hi - lo, columns): blocks are experts in the order of the ranks that hold
 * them, or (source, expert of this rank). Counts are int32 (shards * groups, experts): those of
 * block b of group g are in row b / experts * groups + g, column b % experts.
 */
struct fsmoe_filled
{
	size_t lo, hi;           /* slots of the chunk */
	size_t capacity, groups; /* slots of a group; capacity 0: every slot holds a row */
	size_t experts;          /* in all */
	size_t even;             /* rows of a group and expert when all experts have as many */
};

/* Rows of a group and expert when all experts have as many. */
static inline size_t fsmoe_filled_even(const struct fsmoe_moe_layer *l)
{
	size_t even = (l->top_k * l->group + l->experts - 1) / l->experts;

	return even < l->capacity ? even : l->capacity;
}

static inline struct fsmoe_filled fsmoe_filled_of(const struct fsmoe_moe_layer *l)
{
	if (!l->taken.by_rows)
		return (struct fsmoe_filled){l->taken.lo, l->taken.hi, 0, 0, 0, 0};
	return (struct fsmoe_filled){l->taken.lo, l->taken.hi, l->capacity,
				     l->groups,   l->experts,  fsmoe_filled_even(l)};
}

/* Of the rows that an expert's ranks get; FSMOE_NONE: all. */
static inline fsmoe_tensor_t fsmoe_filled_counts(const struct fsmoe_moe_layer *l)
{
	return l->taken.by_rows ? l->taken.arrived : FSMOE_NONE;
}

/* Whether a slot of a block holds a row; *n slots from it on do alike. */
static inline int fsmoe_filled_here(const struct fsmoe_filled *f, const int32_t *counts,
				    size_t block, size_t slot, size_t *n)
{
	size_t group = slot / f->capacity, position = slot % f->capacity;
	int32_t count =
		counts[(block / f->experts * f->groups + group) * f->experts + block % f->experts];
	size_t rows = count < 0 ? 0 : (size_t)count;
	size_t end = position < rows && rows < f->capacity ? rows : f->capacity;

	*n = end - position < f->hi - slot ? end - position : f->hi - slot;
	return position < rows;
}

/* The part of a chunk's slots that hold a row when all experts have as many. */
static inline double fsmoe_filled_share(const struct fsmoe_filled *f)
{
	size_t rows = 0;

	if (f->capacity == 0)
		return 1;
	for (size_t g = f->lo / f->capacity; g * f->capacity < f->hi; g++)
	{
		size_t first = g * f->capacity, last = first + f->even;
		size_t lo = first > f->lo ? first : f->lo, hi = last < f->hi ? last : f->hi;
		rows += hi > lo ? hi - lo : 0;
	}
	return (double)rows / (double)(f->hi - f->lo);
}

#endif
