/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_scores.h"
#include "base/rng.h"
#include "codelets/cpu/choose.h"
#include "codelets/shape.h"

int KERNEL(gate_logits)(const struct fsmoe_call *call)
{
	size_t rows = fsmoe_rows(call->tensor[0]), dim = fsmoe_columns(call->tensor[0]);
	size_t experts = fsmoe_rows(call->tensor[1]);
	const real *x = call->data[0], *w = call->data[1];
	real *logits = call->data[2];

	for (size_t t = 0; t < rows; t++)
		for (size_t e = 0; e < experts; e++)
			logits[t * experts + e] = choose_dot(&x[t * dim], &w[e * dim], dim);
	return 0;
}

/* --- noise -------------------------------------------------------------------------------- */

/* The noise of this step's training, 0 in an evaluation. */
struct noise
{
	uint64_t key;
	int on;
	size_t experts;
	struct fsmoe_token_map tokens;
};

static struct noise noise_of(const struct fsmoe_call *call)
{
	const struct fsmoe_gate_noise_args *a = call->args;
	uint64_t seed = call->step ? call->step->seed : 0, step = call->step ? call->step->step : 0;
	uint64_t key = fsmoe_rng_subkey(fsmoe_rng_key(seed, "gate noise"), a->stream);

	return (struct noise){fsmoe_rng_subkey(key, step), step > 0, fsmoe_columns(call->tensor[0]),
			      a->tokens};
}

static real noise_at(const struct noise *n, size_t row, size_t e)
{
	const struct fsmoe_token_map *m = &n->tokens;
	size_t token = row / m->span * m->stride + row % m->span + m->first;

	return n->on ? (real)fsmoe_rng_normal(n->key, token * n->experts + e) : 0;
}

/* log(1 + exp(x)) without overflow; in double, as choose_exp(). */
static real softplus(real raw)
{
	double x = (double)raw;

	return (real)((x > 0 ? x : 0) + log1p(exp(-fabs(x))));
}

int KERNEL(gate_noise)(const struct fsmoe_call *call)
{
	const struct noise noise = noise_of(call);
	size_t n = fsmoe_count(call->tensor[0]);
	const real *clean = call->data[0], *raw = call->data[1];
	real *noisy = call->data[2], *deviation = call->data[3];

	for (size_t i = 0; i < n; i++)
	{
		deviation[i] = softplus(raw[i]);
		noisy[i] = clean[i] +
			   noise_at(&noise, i / noise.experts, i % noise.experts) * deviation[i];
	}
	return 0;
}

int KERNEL(gate_noise_backward)(const struct fsmoe_call *call)
{
	const struct noise noise = noise_of(call);
	size_t n = fsmoe_count(call->tensor[0]);
	const real *raw = call->data[0], *dnoisy = call->data[1], *ddeviation = call->data[2];
	real *draw = call->data[3];

	for (size_t i = 0; i < n; i++)
	{
		real d = ddeviation ? ddeviation[i] : 0;
		if (dnoisy)
			d += dnoisy[i] * noise_at(&noise, i / noise.experts, i % noise.experts);
		draw[i] = d / (1 + exp(-raw[i]));
	}
	return 0;
}

/* --- cosine ------------------------------------------------------------------------------- */

/* 1 / |v|, or 0 for a zero vector, which then has the cosine 0 with everything. */
static real inverse_norm(const real *v, size_t dim)
{
	real square = choose_dot(v, v, dim);

	return square > 0 ? 1 / sqrt(square) : 0;
}

static real temperature(const struct fsmoe_call *call, const real *theta)
{
	const struct fsmoe_gate_cosine_args *a = call->args;
	real tau = (real)a->scale * theta[0], least = (real)FSMOE_GATE_COSINE_LEAST;

	return tau > least ? tau : least;
}

int KERNEL(gate_cosine)(const struct fsmoe_call *call)
{
	size_t rows = fsmoe_rows(call->tensor[0]), dim = fsmoe_columns(call->tensor[0]);
	size_t experts = fsmoe_rows(call->tensor[1]);
	const real *u = call->data[0], *w = call->data[1];
	real tau = temperature(call, call->data[2]);
	real *logits = call->data[3], *norms = call->data[4];

	for (size_t e = 0; e < experts; e++)
		norms[e] = inverse_norm(&w[e * dim], dim);
	for (size_t t = 0; t < rows; t++)
	{
		real norm = inverse_norm(&u[t * dim], dim);
		for (size_t e = 0; e < experts; e++)
			logits[t * experts + e] =
				choose_dot(&u[t * dim], &w[e * dim], dim) * norm * norms[e] / tau;
	}
	return 0;
}

/* Adds the part of d (dim) across v, over the norm of v: what a change of v's direction is worth.
 */
static void add_across(const real *v, real norm, const real *d, real *out, size_t dim)
{
	real along = choose_dot(v, d, dim) * norm * norm;

	for (size_t i = 0; i < dim; i++)
		out[i] += (d[i] - v[i] * along) * norm;
}

int KERNEL(gate_cosine_backward)(const struct fsmoe_call *call)
{
	const struct fsmoe_gate_cosine_args *a = call->args;
	size_t rows = fsmoe_rows(call->tensor[0]), dim = fsmoe_columns(call->tensor[0]);
	size_t experts = fsmoe_rows(call->tensor[1]);
	const real *u = call->data[0], *w = call->data[1], *theta = call->data[2];
	const real *logits = call->data[3], *dlogits = call->data[4];
	real *du = call->data[5], *dw = call->data[6], *dtheta = call->data[7];
	real *sums = call->data[8], *norms = sums + experts * dim;
	real tau = temperature(call, theta), sum = 0;

	memset(sums, 0, experts * dim * sizeof(*sums));
	for (size_t e = 0; e < experts; e++)
		norms[e] = inverse_norm(&w[e * dim], dim);
	for (size_t t = 0; t < rows; t++)
	{
		const real *ut = &u[t * dim], *dl = &dlogits[t * experts];
		real norm = inverse_norm(ut, dim), along = 0, *dut = du ? &du[t * dim] : NULL;
		for (size_t m = 0; dut && m < dim; m++)
			dut[m] = 0;
		for (size_t e = 0; e < experts; e++)
		{
			real dc = dl[e] / tau, l = logits[t * experts + e];
			sum += dl[e] * l;
			along += dl[e] * l;
			for (size_t m = 0; m < dim; m++)
				sums[e * dim + m] += dc * norm * ut[m];
			for (size_t m = 0; dut && m < dim; m++)
				dut[m] += dc * norms[e] * w[e * dim + m];
		}
		/* The product of the sum with u / |u| is the sum of dc c = dlogits logits. */
		for (size_t m = 0; dut && m < dim; m++)
			dut[m] = (dut[m] - ut[m] * norm * along) * norm;
	}
	for (size_t e = 0; dw && e < experts; e++)
		add_across(&w[e * dim], norms[e], &sums[e * dim], &dw[e * dim], dim);
	if (dtheta && (real)a->scale * theta[0] > (real)FSMOE_GATE_COSINE_LEAST)
		dtheta[0] -= (real)a->scale * sum / tau;
	return 0;
}
