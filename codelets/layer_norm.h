/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_LAYER_NORM_H
#define FSMOE_LAYER_NORM_H

#include "codelets/kernels.h"

/*
 * y = (x - mean) * rstd * gamma + beta,  rstd = 1 / sqrt(var + 1e-5),  by row.
 * x, y (T, M), gamma, beta (M); moments (T, 2) keeps mean and rstd of every row for the backward:
 *   h = (x - mean) * rstd,  g = dy * gamma
 *   dx = rstd * (g - mean(g) - h * mean(g * h));  dgamma += sum dy * h;  dbeta += sum dy
 */
extern const struct fsmoe_op fsmoe_op_layer_norm;
extern const struct fsmoe_op fsmoe_op_layer_norm_backward;

FSMOE_KERNELS(layer_norm);
FSMOE_KERNELS(layer_norm_backward);

#endif
