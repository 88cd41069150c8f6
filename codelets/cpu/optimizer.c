/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/real.h"
#include "codelets/optimizer.h"
#include "codelets/shape.h"

#include <errno.h>

/* In double and in a fixed order; eight sums side by side, which gcc makes vectors of. */
static double sum_squares(const real *x, size_t n)
{
	double lane[8] = {0}, sum = 0;
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t l = 0; l < 8; l++)
			lane[l] += (double)x[i + l] * (double)x[i + l];
	for (size_t l = 0; i + l < n; l++)
		lane[l] += (double)x[i + l] * (double)x[i + l];
	for (size_t l = 0; l < 8; l++)
		sum += lane[l];
	return sum;
}

/* What gradients are multiplied by. */
static int clipping(const char *op, const real *norm2, double clip, real *factor)
{
	*factor = 1;
	if (!norm2)
		return 0;
	if (!(isfinite(*norm2) && *norm2 >= 0))
		return fsmoe_fail(EDOM, "%s: the squared norm of the gradients is %g", op,
				  (double)*norm2);

	double f = clip / (sqrt((double)*norm2) + 1e-6);
	if (clip > 0 && f < 1)
		*factor = (real)f;
	return 0;
}

struct adamw
{
	real beta1, beta2, eps;
	real rate;   /* lr / (1 - beta1^t) */
	real root2;  /* sqrt(1 - beta2^t) */
	real keep;   /* 1 - lr * decay */
	real factor; /* of gradients */
};

static void adamw(const struct adamw *a, real *param, const real *grad, real *m, real *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		real g = a->factor * grad[i];
		m[i] = a->beta1 * m[i] + (1 - a->beta1) * g;
		v[i] = a->beta2 * v[i] + (1 - a->beta2) * g * g;
		param[i] = a->keep * param[i] - a->rate * m[i] / (sqrt(v[i]) / a->root2 + a->eps);
	}
}

static void sgd(real *param, const real *grad, real rate, real keep, size_t n)
{
	for (size_t i = 0; i < n; i++)
		param[i] = keep * param[i] - rate * grad[i];
}

int KERNEL(sum_squares)(const struct fsmoe_call *call)
{
	const struct fsmoe_sum_squares_args *args = call->args;
	real *out = call->data[1]; /* (1) */

	*out += (real)(args->scale * sum_squares(call->data[0], fsmoe_count(call->tensor[0])));
	return 0;
}

int KERNEL(adamw)(const struct fsmoe_call *call)
{
	const struct fsmoe_adamw_args *args = call->args;
	const struct fsmoe_segment *segment = (const struct fsmoe_segment *)(args + 1);
	real *param = call->data[0], *m = call->data[3], *v = call->data[4];
	const real *grad = call->data[1];
	double t = (double)call->step->step, lr = call->step->lr;
	struct adamw a = {
		.beta1 = (real)args->beta1,
		.beta2 = (real)args->beta2,
		.eps = (real)args->eps,
		.rate = (real)(lr / (1 - pow(args->beta1, t))),
		.root2 = (real)sqrt(1 - pow(args->beta2, t)),
	};
	int err = clipping("adamw", call->data[2], args->clip, &a.factor);

	if (err)
		return err;
	if (call->step->step < 1)
		return fsmoe_fail(EINVAL, "adamw: steps are counted from 1");
	for (size_t i = 0; i < args->nsegments; i++)
	{
		size_t at = segment[i].offset;
		a.keep = (real)(1 - lr * segment[i].decay);
		adamw(&a, param + at, grad + at, m + at, v + at, segment[i].count);
	}
	return 0;
}

int KERNEL(sgd)(const struct fsmoe_call *call)
{
	const struct fsmoe_sgd_args *args = call->args;
	const struct fsmoe_segment *segment = (const struct fsmoe_segment *)(args + 1);
	real *param = call->data[0], factor;
	const real *grad = call->data[1];
	double lr = call->step->lr;
	int err = clipping("sgd", call->data[2], args->clip, &factor);

	if (err)
		return err;
	for (size_t i = 0; i < args->nsegments; i++)
	{
		size_t at = segment[i].offset;
		sgd(param + at, grad + at, (real)lr * factor, (real)(1 - lr * segment[i].decay),
		    segment[i].count);
	}
	return 0;
}
