/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_EMBEDDING_H
#define FSMOE_EMBEDDING_H

#include "codelets/kernels.h"

/*
 * y[t] = table[tokens[t]] + positions[first + t % span].
 * tokens int32 (T), table (V, M), positions (L, M) optional, y (T, M).
 * The backward adds rows of dy to the rows of dtable and dpositions in the order of t.
 */
struct fsmoe_embedding_args
{
	size_t first, span;
};

extern const struct fsmoe_op fsmoe_op_embedding;
extern const struct fsmoe_op fsmoe_op_embedding_backward;

FSMOE_KERNELS(embedding);
FSMOE_KERNELS(embedding_backward);

#endif
