/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_ATTENTION_H
#define FSMOE_ATTENTION_H

#include "codelets/kernels.h"
#include <fsmoe/ops.h>

/*
 * Multi-head attention, with D = head_dim, HD = heads * D, S = seq:
 *   P = softmax of q k^T / sqrt(D) over the columns that a row sees,  y = P v
 * Those are the columns up to its own, or, bidirectional, all. qkv (T, 3 HD), y (T, HD). No square
 * is kept: of every row there are its largest score and the sum that it was divided by, stats
 * (batch * heads * S, 2), and the backward computes the same P anew (after Dao et al. 2022, who
 * keep one number, max + log sum, which of large scores loses the sum):
 *   dv = P^T dy,  dP = dy v^T,  dS = P * (dP - sum over columns of P * dP) / sqrt(D)
 *   dq = dS k,  dk = dS^T q
 *
 * Rows are taken FSMOE_ATTENTION_BLOCK at a time and a block's products end at the last column that
 * it sees, so that of a causal square about half is computed. Where the rows of a sequence do not
 * lie one after another (parts > 1) a sequence is gathered into scratch first.
 *
 * scratch, elements: forward   a block of P (BLOCK, S), [gathered: qkv (S, 3 HD), y (S, HD)]
 *                    backward  a block of P and of dS, [gathered: qkv, dqkv (S, 3 HD), dy (S, HD)]
 */
#define FSMOE_ATTENTION_BLOCK 64

extern const struct fsmoe_op fsmoe_op_attention;
extern const struct fsmoe_op fsmoe_op_attention_backward;

FSMOE_KERNELS(attention);
FSMOE_KERNELS(attention_backward);

static inline int fsmoe_attention_gathers(const struct fsmoe_attention_args *a)
{
	return a->parts > 1 && a->batch > 1;
}

/* How many columns row i sees; no earlier row sees more. */
static inline size_t fsmoe_attention_seen(const struct fsmoe_attention_args *a, size_t i)
{
	return a->bidirectional ? a->seq : i + 1;
}

static inline size_t fsmoe_attention_block(const struct fsmoe_attention_args *a)
{
	return a->seq < FSMOE_ATTENTION_BLOCK ? a->seq : FSMOE_ATTENTION_BLOCK;
}

#endif
