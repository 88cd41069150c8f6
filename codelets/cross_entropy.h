/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CROSS_ENTROPY_H
#define FSMOE_CROSS_ENTROPY_H

#include "codelets/kernels.h"

/*
 * loss (1) = scale * sum over rows of (lse[t] - logits[t][targets[t]]);  rows with a negative
 * target do not count. logits (T, V), targets int32 (T); lse (T), the logarithm of the sum of
 * exponentials, is kept for the backward: dlogits = dloss * scale * (softmax - one-hot).
 */
struct fsmoe_cross_entropy_args
{
	double scale;
};

extern const struct fsmoe_op fsmoe_op_cross_entropy;
extern const struct fsmoe_op fsmoe_op_cross_entropy_backward;

FSMOE_KERNELS(cross_entropy);
FSMOE_KERNELS(cross_entropy_backward);

#endif
