/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUTS_H
#define FSMOE_CUTS_H

#include <fsmoe/module.h>

/*
 * Chunks are pieces of the slots (struct fsmoe_cuts). Operations that read or write only some of
 * the slots keep cut points in their arguments: n pieces that follow one another, piece i being
 * [at[i], at[i + 1]).
 */

/* Room for the arguments of an operation that ends in n + 1 cut points. */
#define FSMOE_CUTS_SIZE(type, n) (sizeof(type) + ((n) + 1) * sizeof(size_t))

/* Which piece holds the slot; n when none does. */
static inline size_t fsmoe_cuts_find(const size_t *at, size_t n, size_t slot)
{
	size_t lo = 0, hi = n;

	if (slot < at[0] || slot >= at[n])
		return n;
	while (hi - lo > 1)
	{
		size_t middle = (lo + hi) / 2;
		if (at[middle] <= slot)
			lo = middle;
		else
			hi = middle;
	}
	return lo;
}

#endif
