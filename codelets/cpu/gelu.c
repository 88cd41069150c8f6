/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/real.h"
#include "codelets/gelu.h"
#include "codelets/shape.h"

#define ROOT_2_OVER_PI ((real)0.79788456080286535588)
#define CUBIC          ((real)0.044715)

static void gelu(const real *x, real *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		real u = ROOT_2_OVER_PI * (x[i] + CUBIC * x[i] * x[i] * x[i]);
		y[i] = x[i] / 2 * (1 + tanh(u));
	}
}

static void gelu_backward(const real *x, const real *dy, real *dx, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		real u = ROOT_2_OVER_PI * (x[i] + CUBIC * x[i] * x[i] * x[i]);
		real du = ROOT_2_OVER_PI * (1 + 3 * CUBIC * x[i] * x[i]);
		real t = tanh(u);
		dx[i] = dy[i] * ((1 + t) / 2 + x[i] / 2 * (1 - t * t) * du);
	}
}

int KERNEL(gelu)(const struct fsmoe_call *call)
{
	gelu(call->data[0], call->data[1], fsmoe_count(call->tensor[0]));
	return 0;
}

int KERNEL(gelu_backward)(const struct fsmoe_call *call)
{
	gelu_backward(call->data[0], call->data[1], call->data[2], fsmoe_count(call->tensor[0]));
	return 0;
}
