/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/real.h"
#include "codelets/residual.h"
#include "codelets/shape.h"

static void residual(const real *x,    /* (T, M) */
		     const real *f,    /* (T, M) */
		     const real *bias, /* (M) or NULL */
		     real *y,          /* (T, M) */
		     size_t T, size_t M)
{
	if (!bias)
	{
		for (size_t i = 0; i < T * M; i++)
			y[i] = x[i] + f[i];
		return;
	}
	for (size_t t = 0; t < T; t++)
		for (size_t m = 0; m < M; m++)
			y[t * M + m] = x[t * M + m] + f[t * M + m] + bias[m];
}

int KERNEL(residual)(const struct fsmoe_call *call)
{
	residual(call->data[0], call->data[1], call->data[2], call->data[3],
		 fsmoe_rows(call->tensor[0]), fsmoe_columns(call->tensor[0]));
	return 0;
}

int KERNEL(residual_backward_bias)(const struct fsmoe_call *call)
{
	const real *dy = call->data[0]; /* (T, M) */
	real *dbias = call->data[1];    /* (M) */
	size_t T = fsmoe_rows(call->tensor[0]), M = fsmoe_columns(call->tensor[0]);

	for (size_t t = 0; t < T; t++)
		for (size_t m = 0; m < M; m++)
			dbias[m] += dy[t * M + m];
	return 0;
}
