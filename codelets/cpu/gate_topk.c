/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/choose.h"
#include "codelets/gate_topk.h"

/* One choice keeps the softmax's weight, through which its gate learns; several share out 1. */
static void weigh(const real *prob, const int32_t *expert, size_t topk, real *weight)
{
	real sum = 0;

	for (size_t j = 0; j < topk; j++)
		sum += weight[j] = prob[expert[j]];
	for (size_t j = 0; topk > 1 && j < topk; j++)
		weight[j] /= sum;
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
			row[e] = choose_dot(&x[t * dim], &wg[e * dim], dim);
		if (choose_check(call, row, t, experts))
			return -EDOM;
		choose_top(row, experts, a->topk, &expert[t * a->topk]);
		choose_softmax(row, experts);
		weigh(row, &expert[t * a->topk], a->topk, &weight[t * a->topk]);
	}
	for (size_t g = 0; g < rows / a->group; g++)
	{
		const struct choose_group group = {.tokens = a->group,
						   .topk = a->topk,
						   .experts = experts,
						   .capacity = a->capacity,
						   .first_slot = g * a->capacity,
						   .expert = &expert[g * a->group * a->topk],
						   .slot = &slot[g * a->group * a->topk],
						   .counts = &counts[g * experts]};
		choose_slots(&group, FSMOE_DROP_POSITION, NULL);
	}
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
