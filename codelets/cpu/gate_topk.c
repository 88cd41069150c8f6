/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/real.h"
#include "codelets/gate_topk.h"

#include <errno.h>

/* A dot product whose order of additions is written down here, and not chosen by a library from
 * the shape of a whole matrix: near-ties between experts fall the same way however the tokens lie
 * on ranks. Eight running sums so that a compiler may use vectors. */
static real dot(const real *a, const real *b, size_t n)
{
	real sum[8] = {0};
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (int l = 0; l < 8; l++)
			sum[l] += a[i + l] * b[i + l];
	for (int l = 0; i < n; i++, l++)
		sum[l] += a[i] * b[i];
	return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* The k largest, largest first, of equals the lower number first. Each pass takes the best of
 * those that come after the last pick in that order, so nothing needs to be marked. */
static void pick(const real *logit, size_t experts, size_t topk, int32_t *expert)
{
	size_t last = 0;

	for (size_t j = 0; j < topk; j++)
	{
		size_t best = experts;
		for (size_t e = 0; e < experts; e++)
		{
			if (j > 0 &&
			    (logit[e] > logit[last] || (logit[e] == logit[last] && e <= last)))
				continue;
			if (best == experts || logit[e] > logit[best])
				best = e;
		}
		expert[j] = (int32_t)best;
		last = best;
	}
}

static void softmax(real *row, size_t n)
{
	real top = row[0], sum = 0;

	for (size_t i = 1; i < n; i++)
		top = row[i] > top ? row[i] : top;
	for (size_t i = 0; i < n; i++)
		sum += row[i] = exp(row[i] - top);
	for (size_t i = 0; i < n; i++)
		row[i] /= sum;
}

/* One choice keeps the softmax's weight, through which its gate learns; several share out 1. */
static void weigh(const real *prob, const int32_t *expert, size_t topk, real *weight)
{
	real sum = 0;

	for (size_t j = 0; j < topk; j++)
		sum += weight[j] = prob[expert[j]];
	for (size_t j = 0; topk > 1 && j < topk; j++)
		weight[j] /= sum;
}

/* counts[] serves as the next free position while a group is counted. */
static void number(const struct fsmoe_gate_topk_args *a, size_t experts, size_t group,
		   const int32_t *expert, int32_t *slot, int32_t *counts)
{
	memset(counts, 0, experts * sizeof(*counts));
	for (size_t j = 0; j < a->topk; j++)
		for (size_t t = 0; t < a->group; t++)
		{
			size_t position = (size_t)counts[expert[t * a->topk + j]]++;
			slot[t * a->topk + j] = position < a->capacity
							? (int32_t)(group * a->capacity + position)
							: -1;
		}
	for (size_t e = 0; e < experts; e++)
		if ((size_t)counts[e] > a->capacity)
			counts[e] = (int32_t)a->capacity;
}

int KERNEL(gate_topk)(const struct fsmoe_call *call)
{
	const struct fsmoe_gate_topk_args *a = call->args;
	size_t rows = call->tensor[0]->shape.dim[0], dim = call->tensor[0]->shape.dim[1];
	size_t experts = call->tensor[1]->shape.dim[0];
	const real *x = call->data[0], *wg = call->data[1];
	int32_t *expert = call->data[2], *slot = call->data[3], *counts = call->data[6];
	real *weight = call->data[4], *probs = call->data[5];

	for (size_t t = 0; t < rows; t++)
	{
		real *row = &probs[t * experts];
		for (size_t e = 0; e < experts; e++)
		{
			row[e] = dot(&x[t * dim], &wg[e * dim], dim);
			if (!isfinite(row[e]))
				return fsmoe_fail(
					EDOM,
					"the gate's logit of token row %zu for expert %zu is "
					"not finite: training diverged, or an input is not a "
					"number",
					t, e);
		}
		pick(row, experts, a->topk, &expert[t * a->topk]);
		softmax(row, experts);
		weigh(row, &expert[t * a->topk], a->topk, &weight[t * a->topk]);
	}
	for (size_t g = 0; g < rows / a->group; g++)
		number(a, experts, g, &expert[g * a->group * a->topk],
		       &slot[g * a->group * a->topk], &counts[g * experts]);
	return 0;
}

/* Gradient of the logits of one token. Several weights that share out 1 are the softmax over the
 * chosen logits alone; a single one is an entry of the softmax over all. */
static void dlogits_row(size_t experts, size_t topk, const int32_t *expert, const real *weight,
			const real *prob, const real *dweight, const real *dprob, real *dlogit)
{
	real mean = 0;

	memset(dlogit, 0, experts * sizeof(*dlogit));
	for (size_t e = 0; dprob && e < experts; e++)
		mean += prob[e] * dprob[e];
	for (size_t e = 0; dprob && e < experts; e++)
		dlogit[e] = prob[e] * (dprob[e] - mean);
	if (!dweight)
		return;
	if (topk == 1)
	{
		for (size_t e = 0; e < experts; e++)
			dlogit[e] -= prob[e] * weight[0] * dweight[0];
		dlogit[expert[0]] += weight[0] * dweight[0];
		return;
	}
	mean = 0;
	for (size_t j = 0; j < topk; j++)
		mean += weight[j] * dweight[j];
	for (size_t j = 0; j < topk; j++)
		dlogit[expert[j]] += weight[j] * (dweight[j] - mean);
}

int KERNEL(gate_topk_backward)(const struct fsmoe_call *call)
{
	size_t rows = call->tensor[0]->shape.dim[0], dim = call->tensor[0]->shape.dim[1];
	size_t experts = call->tensor[1]->shape.dim[0], topk = call->tensor[2]->shape.dim[1];
	const real *x = call->data[0], *wg = call->data[1];
	const int32_t *expert = call->data[2];
	const real *weight = call->data[3], *probs = call->data[4];
	const real *dweight = call->data[5], *dprobs = call->data[6];
	real *dwg = call->data[7], *dx = call->data[8], *dlogits = call->data[9];

	for (size_t i = 0; i < rows * topk; i++)
		if (expert[i] < 0 || (size_t)expert[i] >= experts)
			return fsmoe_fail(
				EINVAL, "gate_topk.backward: token row %zu names expert %d of %zu",
				i / topk, (int)expert[i], experts);
	for (size_t t = 0; t < rows; t++)
		dlogits_row(experts, topk, &expert[t * topk], &weight[t * topk],
			    &probs[t * experts], dweight ? &dweight[t * topk] : NULL,
			    dprobs ? &dprobs[t * experts] : NULL, &dlogits[t * experts]);
	if (dwg)
		gemm(1, 0, experts, dim, rows, 1, dlogits, experts, x, dim, 1, dwg, dim);
	if (dx)
		gemm(0, 0, rows, dim, experts, 1, dlogits, experts, wg, dim, 0, dx, dim);
	return 0;
}
