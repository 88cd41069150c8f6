/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/real.h"
#include "codelets/layer_norm.h"
#include "codelets/shape.h"

#define EPSILON 1e-5

static void layer_norm(const real *x,     /* (T, M) */
		       const real *gamma, /* (M) */
		       const real *beta,  /* (M) */
		       real *y,           /* (T, M) */
		       real *moments,     /* (T, 2) */
		       size_t T, size_t M)
{
	for (size_t t = 0; t < T; t++, x += M, y += M)
	{
		double sum = 0, squares = 0;
		for (size_t m = 0; m < M; m++)
			sum += (double)x[m];
		/* Rounded first: the backward sees the same mean. */
		real mean = (real)(sum / (double)M);
		for (size_t m = 0; m < M; m++)
			squares += ((double)x[m] - (double)mean) * ((double)x[m] - (double)mean);
		real rstd = (real)(1 / sqrt(squares / (double)M + EPSILON));
		for (size_t m = 0; m < M; m++)
			y[m] = (x[m] - mean) * rstd * gamma[m] + beta[m];
		moments[2 * t] = mean;
		moments[2 * t + 1] = rstd;
	}
}

static void backward_x(const real *x,       /* (T, M) */
		       const real *gamma,   /* (M) */
		       const real *moments, /* (T, 2) */
		       const real *dy,      /* (T, M) */
		       real *dx,            /* (T, M) */
		       size_t T, size_t M)
{
	for (size_t t = 0; t < T; t++, x += M, dy += M, dx += M)
	{
		real mean = moments[2 * t], rstd = moments[2 * t + 1];
		double sum_g = 0, sum_gh = 0;
		for (size_t m = 0; m < M; m++)
		{
			real g = dy[m] * gamma[m], h = (x[m] - mean) * rstd;
			sum_g += (double)g;
			sum_gh += (double)g * (double)h;
		}
		real mean_g = (real)(sum_g / (double)M), mean_gh = (real)(sum_gh / (double)M);
		for (size_t m = 0; m < M; m++)
			dx[m] = rstd * (dy[m] * gamma[m] - mean_g - (x[m] - mean) * rstd * mean_gh);
	}
}

static void backward_gamma(const real *x,       /* (T, M) */
			   const real *moments, /* (T, 2) */
			   const real *dy,      /* (T, M) */
			   real *dgamma,        /* (M) */
			   size_t T, size_t M)
{
	for (size_t t = 0; t < T; t++)
	{
		real mean = moments[2 * t], rstd = moments[2 * t + 1];
		for (size_t m = 0; m < M; m++)
			dgamma[m] += dy[t * M + m] * (x[t * M + m] - mean) * rstd;
	}
}

static void backward_beta(const real *dy, /* (T, M) */
			  real *dbeta,    /* (M) */
			  size_t T, size_t M)
{
	for (size_t t = 0; t < T; t++)
		for (size_t m = 0; m < M; m++)
			dbeta[m] += dy[t * M + m];
}

int KERNEL(layer_norm)(const struct fsmoe_call *call)
{
	layer_norm(call->data[0], call->data[1], call->data[2], call->data[3], call->data[4],
		   fsmoe_rows(call->tensor[0]), fsmoe_columns(call->tensor[0]));
	return 0;
}

int KERNEL(layer_norm_backward)(const struct fsmoe_call *call)
{
	const real *x = call->data[0], *gamma = call->data[1], *moments = call->data[2];
	const real *dy = call->data[3];
	size_t T = fsmoe_rows(call->tensor[0]), M = fsmoe_columns(call->tensor[0]);

	if (call->data[4])
		backward_x(x, gamma, moments, dy, call->data[4], T, M);
	if (call->data[5])
		backward_gamma(x, moments, dy, call->data[5], T, M);
	if (call->data[6])
		backward_beta(dy, call->data[6], T, M);
	return 0;
}
