/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/gelu.h"
#include "codelets/gelu.h"
#include "codelets/shape.h"

static void gelu(const real *restrict x, real *restrict y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = gelu_value(x[i]);
}

static void gelu_backward(const real *restrict x, const real *restrict dy, real *restrict dx,
			  size_t n)
{
	for (size_t i = 0; i < n; i++)
		dx[i] = dy[i] * gelu_slope(x[i]);
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
