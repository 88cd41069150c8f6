/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/route.h"
#include "codelets/cpu/choose.h"
#include "codelets/shape.h"

static real sigmoid(real x)
{
	return 1 / (1 + choose_exp(-x));
}

/* The entry of a row's softmax. */
static real entry(const real *score, size_t experts, size_t e)
{
	real top = score[0], sum = 0;

	for (size_t i = 1; i < experts; i++)
		top = score[i] > top ? score[i] : top;
	for (size_t i = 0; i < experts; i++)
		sum += choose_exp(score[i] - top);
	return choose_exp(score[e] - top) / sum;
}

/* --- tokens choose ------------------------------------------------------------------------ */

static void weigh_experts(enum fsmoe_weights weights, const real *score, size_t experts,
			  const int32_t *expert, size_t topk, real *weight)
{
	for (size_t j = 0; j < topk; j++)
	{
		real s = score[expert[j]];
		weight[j] = weights == FSMOE_WEIGHTS_SIGMOID ? sigmoid(s)
			    : weights == FSMOE_WEIGHTS_ALL
				    ? entry(score, experts, (size_t)expert[j])
				    : s;
	}
	if (weights == FSMOE_WEIGHTS_CHOSEN)
		choose_softmax(weight, topk);
}

/* --- experts choose ----------------------------------------------------------------------- */

/* The tokens of one group that expert e takes, the best first, and their weights; with
 * FSMOE_WEIGHTS_ALL they are there already. */
static void take_tokens(const struct fsmoe_route_args *a, const real *score, size_t experts,
			size_t first_slot, size_t e, int32_t *list, int32_t *slot, real *weight)
{
	const struct choose_order order = {&score[e], experts, 1, a->group};
	real top, sum = 0;

	for (size_t t = 0; t < a->group; t++)
		list[t] = (int32_t)t;
	choose_sort(&order, list, a->group);
	top = score[(size_t)list[0] * experts + e];
	for (size_t p = 0; p < a->capacity; p++)
	{
		size_t t = (size_t)list[p];
		real s = score[t * experts + e], *w = &weight[t * experts + e];
		slot[t * experts + e] = (int32_t)(first_slot + p);
		if (a->weights != FSMOE_WEIGHTS_ALL)
			*w = a->weights == FSMOE_WEIGHTS_SIGMOID ? sigmoid(s) : choose_exp(s - top);
		sum += *w;
	}
	for (size_t p = a->capacity; p < a->group; p++)
	{
		slot[(size_t)list[p] * experts + e] = -1;
		weight[(size_t)list[p] * experts + e] = 0;
	}
	for (size_t p = 0; a->weights == FSMOE_WEIGHTS_CHOSEN && p < a->capacity; p++)
		weight[(size_t)list[p] * experts + e] /= sum;
}

int KERNEL(route)(const struct fsmoe_call *call)
{
	const struct fsmoe_route_args *a = call->args;
	size_t rows = fsmoe_rows(call->tensor[0]), experts = fsmoe_columns(call->tensor[0]);
	size_t width = fsmoe_columns(call->tensor[1]);
	const real *score = call->data[0];
	int32_t *expert = call->data[1], *slot = call->data[2];
	real *weight = call->data[3];
	int32_t *counts = call->data[4], *list = call->data[5];

	for (size_t t = 0; t < rows; t++)
	{
		const real *row = &score[t * experts];
		if (choose_check(call, row, t, experts))
			return -EDOM;
		for (size_t e = 0; !a->topk && e < experts; e++)
		{
			expert[t * width + e] = (int32_t)e;
			weight[t * width + e] = row[e];
		}
		if (!a->topk)
		{
			if (a->weights == FSMOE_WEIGHTS_ALL)
				choose_softmax(&weight[t * width], experts);
			continue;
		}
		choose_top(row, experts, a->topk, &expert[t * width]);
		weigh_experts(a->weights, row, experts, &expert[t * width], a->topk,
			      &weight[t * width]);
	}
	for (size_t g = 0; g < rows / a->group; g++)
	{
		size_t at = g * a->group * width;
		const struct choose_group group = {
			a->group,    a->topk,     experts,   a->capacity,         g * a->capacity,
			&expert[at], &weight[at], &slot[at], &counts[g * experts]};
		if (a->topk)
			choose_slots(&group, a->drop, list);
		for (size_t e = 0; !a->topk && e < experts; e++)
		{
			take_tokens(a, &score[at], experts, g * a->capacity, e, list, &slot[at],
				    &weight[at]);
			counts[g * experts + e] = (int32_t)a->capacity;
		}
	}
	return 0;
}

/* --- backward ----------------------------------------------------------------------------- */

/* Softmax over a set of n entries, `stride` apart from one another, that were chosen together
 * (slot NULL: all of them): the gradient of the score of each. Scores of a token that chooses lie
 * where its list says. */
static void chosen_backward(size_t n, size_t stride, const int32_t *slot, const int32_t *expert,
			    const real *weight, const real *dweight, real *dscore)
{
	real mean = 0;

	for (size_t i = 0; i < n * stride; i += stride)
		if (!slot || slot[i] >= 0)
			mean += weight[i] * dweight[i];
	for (size_t i = 0; i < n * stride; i += stride)
		if (!slot || slot[i] >= 0)
			dscore[expert ? (size_t)expert[i] : i] = weight[i] * (dweight[i] - mean);
}

/* Weights that are entries of a token's softmax over all experts. */
static void all_backward(const real *score, size_t experts, size_t width, const int32_t *slot,
			 const int32_t *expert, const real *weight, const real *dweight,
			 real *dscore)
{
	real mean = 0;

	for (size_t j = 0; j < width; j++)
		if (!slot || slot[j] >= 0)
			mean += weight[j] * dweight[j];
	memcpy(dscore, score, experts * sizeof(*dscore));
	choose_softmax(dscore, experts);
	for (size_t e = 0; e < experts; e++)
		dscore[e] *= -mean;
	for (size_t j = 0; j < width; j++)
		if (!slot || slot[j] >= 0)
			dscore[expert[j]] += weight[j] * dweight[j];
}

static void token_backward(const struct fsmoe_route_args *a, const real *score, size_t experts,
			   size_t width, const int32_t *slot, const int32_t *expert,
			   const real *weight, const real *dweight, real *dscore)
{
	const int32_t *taken = a->topk ? NULL : slot; /* a token that chose has all its weights */

	if (a->weights == FSMOE_WEIGHTS_ALL)
		all_backward(score, experts, width, taken, expert, weight, dweight, dscore);
	else if (a->weights == FSMOE_WEIGHTS_CHOSEN && a->topk)
		chosen_backward(width, 1, NULL, expert, weight, dweight, dscore);
	else if (a->weights == FSMOE_WEIGHTS_SIGMOID)
		for (size_t j = 0; j < width; j++)
			if (!taken || taken[j] >= 0)
				dscore[expert[j]] = weight[j] * (1 - weight[j]) * dweight[j];
}

int KERNEL(route_backward)(const struct fsmoe_call *call)
{
	const struct fsmoe_route_args *a = call->args;
	size_t rows = fsmoe_rows(call->tensor[0]), experts = fsmoe_columns(call->tensor[0]);
	size_t width = fsmoe_columns(call->tensor[1]);
	const real *score = call->data[0], *weight = call->data[3], *dweight = call->data[4];
	const int32_t *expert = call->data[1], *slot = call->data[2];
	real *dscore = call->data[5];

	memset(dscore, 0, rows * experts * sizeof(*dscore));
	for (size_t i = 0; i < rows * width; i++)
		if (expert[i] < 0 || (size_t)expert[i] >= experts)
			return fsmoe_fail(EINVAL,
					  "route.backward: token row %zu names expert %d of %zu",
					  i / width, (int)expert[i], experts);
	for (size_t t = 0; t < rows; t++)
		token_backward(a, &score[t * experts], experts, width, &slot[t * width],
			       &expert[t * width], &weight[t * width], &dweight[t * width],
			       &dscore[t * experts]);
	for (size_t g = 0; a->weights == FSMOE_WEIGHTS_CHOSEN && !a->topk && g < rows / a->group;
	     g++)
		for (size_t e = 0; e < experts; e++)
		{
			size_t at = g * a->group * experts + e;
			chosen_backward(a->group, experts, &slot[at], NULL, &weight[at],
					&dweight[at], &dscore[at]);
		}
	return 0;
}
