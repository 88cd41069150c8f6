/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_KERNEL_GELU_H
#define FSMOE_KERNEL_GELU_H

#include "codelets/cpu/exp.h"

/* GELU of one element, for loops: y = x * s with s = (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)) and
 * u = sqrt(2 / pi) * (x + 0.044715 x^3), which takes one exponential. */
#define GELU_ROOT_2_OVER_PI ((real)0.79788456080286535588)
#define GELU_CUBIC          ((real)0.044715)

static inline real gelu_sigmoid(real x)
{
	return 1 / (1 + fast_exp(-2 * GELU_ROOT_2_OVER_PI * (x + GELU_CUBIC * x * x * x)));
}

static inline real gelu_value(real x)
{
	return x * gelu_sigmoid(x);
}

/* dy / dx */
static inline real gelu_slope(real x)
{
	real s = gelu_sigmoid(x);
	real du = GELU_ROOT_2_OVER_PI * (1 + 3 * GELU_CUBIC * x * x);

	return s + 2 * x * s * (1 - s) * du;
}

#endif
