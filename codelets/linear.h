/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_LINEAR_H
#define FSMOE_LINEAR_H

#include "codelets/kernels.h"

/*
 * y = x w^T + b.   x (T, K), w (O, K), b (O) optional, y (T, O).
 * Its backward is two operations, because they have different readers: dx = dy w is what the
 * layer before waits for, dw += dy^T x and db += sum of rows of dy can wait.
 */
extern const struct fsmoe_op fsmoe_op_linear;
extern const struct fsmoe_op fsmoe_op_linear_backward_input;
extern const struct fsmoe_op fsmoe_op_linear_backward_weight;

/* As fsmoe_linear, with an output of that type: FSMOE_WIDE for logits. */
fsmoe_tensor_t fsmoe_linear_as(fsmoe_graph_t graph, enum fsmoe_dtype dtype, fsmoe_tensor_t x,
			       fsmoe_tensor_t w, fsmoe_tensor_t b);

FSMOE_KERNELS(linear);
FSMOE_KERNELS(linear_backward_input);
FSMOE_KERNELS(linear_backward_weight);

#endif
