/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/exp.h"
#include "codelets/cpu/real.h"
#include "codelets/cross_entropy.h"
#include "codelets/shape.h"

#include <errno.h>

/* In double and in a fixed order: eight sums side by side. */
static double log_sum_exp(const real *x, size_t n)
{
	real max = row_max(x, n);
	double lane[8] = {0}, sum = 0;
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t l = 0; l < 8; l++)
			lane[l] += (double)fast_exp(x[i + l] - max);
	for (; i < n; i++)
		sum += (double)fast_exp(x[i] - max);
	for (size_t l = 0; l < 8; l++)
		sum += lane[l];
	return (double)max + log(sum);
}

static int cross_entropy(const real *logits,      /* (T, V) */
			 const int32_t *targets,  /* (T) */
			 double *loss, real *lse, /* (T) */
			 size_t T, size_t V)
{
	*loss = 0;
	for (size_t t = 0; t < T; t++)
	{
		lse[t] = 0;
		if (targets[t] < 0)
			continue;
		if ((size_t)targets[t] >= V)
			return fsmoe_fail(EDOM,
					  "cross_entropy: target %d of row %zu is outside 0..%zu",
					  (int)targets[t], t, V - 1);
		double row = log_sum_exp(logits + t * V, V);
		lse[t] = (real)row;
		row -= (double)logits[t * V + (size_t)targets[t]];
		if (!isfinite(row))
			return fsmoe_fail(EDOM,
					  "cross_entropy: the loss of row %zu is %g; a smaller "
					  "learning rate or clipping may help",
					  t, row);
		*loss += row;
	}
	return 0;
}

static void backward(const real *logits,     /* (T, V) */
		     const int32_t *targets, /* (T) */
		     const real *lse,        /* (T) */
		     real scale, real *dlogits /* (T, V) */, size_t T, size_t V)
{
	for (size_t t = 0; t < T; t++, logits += V, dlogits += V)
	{
		if (targets[t] < 0)
		{
			memset(dlogits, 0, V * sizeof(*dlogits));
			continue;
		}
		real all = lse[t];
		for (size_t v = 0; v < V; v++)
			dlogits[v] = scale * fast_exp(logits[v] - all);
		dlogits[targets[t]] -= scale;
	}
}

int KERNEL(cross_entropy)(const struct fsmoe_call *call)
{
	const struct fsmoe_cross_entropy_args *args = call->args;
	real *loss = call->data[2]; /* (1) */
	double sum;
	int err = cross_entropy(call->data[0], call->data[1], &sum, call->data[3],
				fsmoe_rows(call->tensor[0]), fsmoe_columns(call->tensor[0]));

	if (err)
		return err;
	*loss = (real)(args->scale * sum);
	return 0;
}

int KERNEL(cross_entropy_backward)(const struct fsmoe_call *call)
{
	const struct fsmoe_cross_entropy_args *args = call->args;
	const real *dloss = call->data[3]; /* (1) */

	backward(call->data[0], call->data[1], call->data[2], (real)args->scale * *dloss,
		 call->data[4], fsmoe_rows(call->tensor[0]), fsmoe_columns(call->tensor[0]));
	return 0;
}
