/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_RESIDUAL_H
#define FSMOE_RESIDUAL_H

#include "codelets/kernels.h"

/*
 * y = x + f + bias.   x, f, y (T, M), bias (M) optional.
 * The gradient of y is that of x and of f: it is handed on without a copy, and only the bias has
 * a backward operation: dbias += sum of the rows of dy.
 */
extern const struct fsmoe_op fsmoe_op_residual;
extern const struct fsmoe_op fsmoe_op_residual_backward_bias;

FSMOE_KERNELS(residual);
FSMOE_KERNELS(residual_backward_bias);

#endif
