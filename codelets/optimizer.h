/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_OPTIMIZER_H
#define FSMOE_OPTIMIZER_H

#include "codelets/kernels.h"
#include <fsmoe/ops.h>

/*
 * Updates of a bucket of parameters. The arguments of adamw and sgd are the public structs
 * followed by their segments. With the gradient g scaled by min(1, clip / (sqrt(norm2) + 1e-6)):
 *   adamw  m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  t the step
 *          p -= lr * (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay * p)
 *   sgd    p -= lr * (g + decay * p)
 * What no segment covers (padding) stays as it is. Norms that are not finite fail the step.
 */
extern const struct fsmoe_op fsmoe_op_sum_squares; /* out (1) += scale * sum of x^2 */
extern const struct fsmoe_op fsmoe_op_adamw;
extern const struct fsmoe_op fsmoe_op_sgd;

struct fsmoe_sum_squares_args
{
	double scale;
};

FSMOE_KERNELS(sum_squares);
FSMOE_KERNELS(adamw);
FSMOE_KERNELS(sgd);

#endif
