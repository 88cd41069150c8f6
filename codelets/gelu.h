/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GELU_H
#define FSMOE_GELU_H

#include "codelets/kernels.h"

/* y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), element by element. */
extern const struct fsmoe_op fsmoe_op_gelu;
extern const struct fsmoe_op fsmoe_op_gelu_backward; /* dx = dy * y'(x) */

FSMOE_KERNELS(gelu);
FSMOE_KERNELS(gelu_backward);

#endif
