/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_loss.h"
#include "codelets/cpu/choose.h"
#include "codelets/shape.h"

/* One group of tokens, and what is added up over it, (E) each. */
struct group
{
	size_t tokens, experts, topk, width;
	const real *logits, *noisy, *deviation;
	const int32_t *expert;
	real *row; /* softmax of one token */
	real *importance, *load, *first;
	real *dimportance; /* backward; dload takes the place of load */
};

static struct group group_of(const struct fsmoe_call *call, size_t g)
{
	const struct fsmoe_gate_loss_args *a = call->args;
	size_t experts = fsmoe_columns(call->tensor[0]);
	size_t width = call->tensor[3] ? fsmoe_columns(call->tensor[3]) : 0;
	size_t first = g * a->group, at = first * experts;
	const real *noisy = call->data[1], *deviation = call->data[2];
	const int32_t *expert = call->data[3];
	real *sums = call->data[4];

	return (struct group){.tokens = a->group,
			      .experts = experts,
			      .topk = a->topk,
			      .width = width,
			      .logits = (const real *)call->data[0] + at,
			      .noisy = noisy ? noisy + at : NULL,
			      .deviation = deviation ? deviation + at : NULL,
			      .expert = expert ? expert + first * width : NULL,
			      .row = sums,
			      .importance = sums + experts,
			      .load = sums + 2 * experts,
			      .first = sums + 3 * experts,
			      .dimportance = sums + 4 * experts};
}

/* --- load --------------------------------------------------------------------------------- */

/* The last expert that a token chose, and the first that it did not; E: it chose all. */
struct border
{
	const real *logits, *noisy;
	size_t last, next;
};

static struct border border_of(const struct group *g, size_t t)
{
	const real *logits = &g->logits[t * g->experts];
	struct border b = {logits, g->noisy ? &g->noisy[t * g->experts] : logits, 0, g->experts};

	for (size_t e = 0; e < g->experts; e++)
	{
		size_t before = 0;
		for (size_t i = 0; i < g->experts; i++)
			before += b.noisy[i] > b.noisy[e] || (b.noisy[i] == b.noisy[e] && i < e);
		if (before + 1 == g->topk)
			b.last = e;
		if (before == g->topk)
			b.next = e;
	}
	return b;
}

/* Whom expert e must beat, the k-th of the others (E: nobody), and by how many deviations it does.
 */
static size_t compete(const struct group *g, const struct border *b, size_t t, size_t e,
		      real *deviation, real *lead)
{
	int chosen = b->noisy[e] > b->noisy[b->last] ||
		     (b->noisy[e] == b->noisy[b->last] && e <= b->last);
	size_t other = chosen ? b->next : b->last;

	*deviation = g->deviation ? g->deviation[t * g->experts + e] : (real)1 / (real)g->experts;
	*lead = other == g->experts ? 0 : (b->logits[e] - b->noisy[other]) / *deviation;
	return other;
}

static void add_chances(const struct group *g, size_t t)
{
	const struct border b = border_of(g, t);
	real deviation, lead;

	for (size_t e = 0; e < g->experts; e++)
		g->load[e] += compete(g, &b, t, e, &deviation, &lead) == g->experts
				      ? 1
				      : erfc(-lead * (real)M_SQRT1_2) / 2;
}

/* --- sums --------------------------------------------------------------------------------- */

/* row = softmax of token t's logits; returns their log-sum-exp. */
static real probabilities(const struct group *g, size_t t)
{
	const real *logits = &g->logits[t * g->experts];
	real top = logits[0], sum = 0;

	for (size_t e = 0; e < g->experts; e++)
		top = logits[e] > top ? logits[e] : top;
	for (size_t e = 0; e < g->experts; e++)
		sum += g->row[e] = exp(logits[e] - top);
	for (size_t e = 0; e < g->experts; e++)
		g->row[e] /= sum;
	return top + log(sum);
}

/* Returns the sum of squares of the log-sum-exps. */
static int add_up(const struct fsmoe_call *call, const struct group *g, real *squares)
{
	const struct fsmoe_gate_loss_args *a = call->args;

	memset(g->importance, 0, 3 * g->experts * sizeof(*g->importance));
	*squares = 0;
	for (size_t t = 0; t < g->tokens; t++)
	{
		real lse = probabilities(g, t);
		*squares += lse * lse;
		for (size_t e = 0; e < g->experts; e++)
			g->importance[e] += g->row[e];
		if (a->importance != 0)
			add_chances(g, t);
		if (a->balance == 0)
			continue;
		int32_t first = g->expert[t * g->width];
		if (first < 0 || (size_t)first >= g->experts)
			return fsmoe_fail(EINVAL, "gate_loss: token row %zu names expert %d of %zu",
					  t, (int)first, g->experts);
		g->first[first] += 1;
	}
	return 0;
}

/* mean(v^2) / mean(v)^2 - 1. */
static real variation(const real *v, size_t n)
{
	real sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++)
	{
		sum += v[i];
		squares += v[i] * v[i];
	}
	return sum > 0 ? squares * (real)n / (sum * sum) - 1 : 0;
}

int KERNEL(gate_loss)(const struct fsmoe_call *call)
{
	const struct fsmoe_gate_loss_args *a = call->args;
	size_t groups = fsmoe_rows(call->tensor[0]) / a->group;
	real *loss = call->data[5];

	loss[0] = 0;
	for (size_t i = 0; i < groups; i++)
	{
		const struct group g = group_of(call, i);
		real size = (real)g.tokens, experts = (real)g.experts, squares, dot = 0;
		if (add_up(call, &g, &squares))
			return -EINVAL;
		for (size_t e = 0; e < g.experts; e++)
			dot += g.importance[e] * g.first[e];
		loss[0] += (real)a->balance * experts * dot / size + (real)a->z * squares;
		if (a->importance != 0)
			loss[0] +=
				(real)a->importance * size / 2 *
				(variation(g.importance, g.experts) + variation(g.load, g.experts));
	}
	return 0;
}

/* --- backward ----------------------------------------------------------------------------- */

/* out = scale times the gradient of variation(v); may be v itself. */
static void variation_backward(const real *v, size_t n, real scale, real *out)
{
	real sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++)
	{
		sum += v[i];
		squares += v[i] * v[i];
	}
	for (size_t i = 0; i < n; i++)
		out[i] = sum > 0 ? scale * 2 * (real)n / (sum * sum) * (v[i] - squares / sum) : 0;
}

/* Where the gradients of one group go. */
struct gradients
{
	real *logits, *noisy, *deviation;
};

static void load_backward(const struct group *g, size_t t, const struct gradients *d)
{
	const struct border b = border_of(g, t);

	for (size_t e = 0; e < g->experts; e++)
	{
		real deviation, lead, dlead;
		size_t other = compete(g, &b, t, e, &deviation, &lead), at = t * g->experts;
		if (other == g->experts)
			continue;
		dlead = g->load[e] * exp(-lead * lead / 2) * (real)(M_2_SQRTPI * M_SQRT1_2 / 2);
		d->logits[at + e] += dlead / deviation;
		(d->noisy ? d->noisy : d->logits)[at + other] -= dlead / deviation;
		if (d->deviation)
			d->deviation[at + e] -= dlead * lead / deviation;
	}
}

static int group_backward(const struct fsmoe_call *call, const struct group *g, real dloss,
			  const struct gradients *d)
{
	const struct fsmoe_gate_loss_args *a = call->args;
	real size = (real)g->tokens, half = dloss * (real)a->importance * size / 2, squares;
	real balance = dloss * (real)a->balance * (real)g->experts / size;

	if (add_up(call, g, &squares))
		return -EINVAL;
	variation_backward(g->importance, g->experts, half, g->dimportance);
	variation_backward(g->load, g->experts, half, g->load);
	for (size_t e = 0; e < g->experts; e++)
		g->dimportance[e] += balance * g->first[e];
	for (size_t t = 0; t < g->tokens; t++)
	{
		real lse = probabilities(g, t), mean = 0, *dl = &d->logits[t * g->experts];
		for (size_t e = 0; e < g->experts; e++)
			mean += g->row[e] * g->dimportance[e];
		for (size_t e = 0; e < g->experts; e++)
			dl[e] += g->row[e] *
				 (g->dimportance[e] - mean + 2 * dloss * (real)a->z * lse);
		if (a->importance != 0)
			load_backward(g, t, d);
	}
	return 0;
}

int KERNEL(gate_loss_backward)(const struct fsmoe_call *call)
{
	const struct fsmoe_gate_loss_args *a = call->args;
	size_t groups = fsmoe_rows(call->tensor[0]) / a->group, n = fsmoe_count(call->tensor[0]);
	const real *dloss = call->data[5];

	for (int i = 6; i < call->n; i++)
		if (call->data[i])
			memset(call->data[i], 0, n * sizeof(real));
	for (size_t i = 0; i < groups; i++)
	{
		const struct group g = group_of(call, i);
		size_t at = i * g.tokens * g.experts;
		const struct gradients d = {(real *)call->data[6] + at,
					    call->data[7] ? (real *)call->data[7] + at : NULL,
					    call->data[8] ? (real *)call->data[8] + at : NULL};
		if (group_backward(call, &g, dloss[0], &d))
			return -EINVAL;
	}
	return 0;
}
