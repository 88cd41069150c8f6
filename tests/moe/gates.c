/* SPDX-License-Identifier: Apache-2.0 */
#include "gates.h"

#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- scores ----------------------------------------------------------------------------------- */

/* A gate's scores of tokens: without noise, with it, and its deviation. (T, E) each. */
struct scores
{
	double *clean, *noisy, *deviation;
};

static double product(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

int reference_gate_is_cosine(const char *name)
{
	return !strcmp(name, "xmoe") || !strcmp(name, "cosine");
}

/* Width of the space that cosines are taken in. */
static size_t cosine_rank(const struct reference_gate *g)
{
	return g->projection ? g->rank : g->r.M;
}

/* cos(P x, w) / tau, tau = 0.07 theta but 0.01 at least; without a projection P x is x. */
static double cosine(const struct reference_gate *g, const double *x, const double *w)
{
	size_t n = cosine_rank(g);
	double *u = malloc(n * sizeof(*u)), tau = 0.07 * g->temperature[0], c;

	for (size_t i = 0; i < n; i++)
		u[i] = g->projection ? product(&g->projection[i * g->r.M], x, g->r.M) : x[i];
	c = product(u, w, n) / sqrt(product(u, u, n) * product(w, w, n)) /
	    (tau > 0.01 ? tau : 0.01);
	free(u);
	return c;
}

static void score(const struct reference_gate *g, struct scores *s)
{
	uint64_t key = fsmoe_rng_key(g->seed, "gate noise");

	key = fsmoe_rng_subkey(fsmoe_rng_subkey(key, g->stream), g->step);
	for (size_t i = 0; i < g->r.T * g->r.E; i++)
	{
		const double *x = &g->r.x[i / g->r.E * g->r.M];
		size_t e = i % g->r.E;
		s->deviation[i] = 1.0 / (double)g->r.E;
		if (reference_gate_is_cosine(g->name))
			s->clean[i] = cosine(g, x, &g->weight[e * cosine_rank(g)]);
		else
			s->clean[i] = product(x, &g->weight[e * g->r.M], g->r.M);
		s->noisy[i] = s->clean[i];
		if (!g->noise)
			continue;
		s->deviation[i] = log(1 + exp(product(x, &g->noise[e * g->r.M], g->r.M)));
		s->noisy[i] += fsmoe_rng_normal(key, i) * s->deviation[i];
	}
}

static struct scores scores_of(const struct reference_gate *g)
{
	size_t n = g->r.T * g->r.E;
	struct scores s = {malloc(n * sizeof(double)), malloc(n * sizeof(double)),
			   malloc(n * sizeof(double))};

	score(g, &s);
	return s;
}

static void free_scores(struct scores *s)
{
	free(s->clean);
	free(s->noisy);
	free(s->deviation);
}

/* --- choices ---------------------------------------------------------------------------------- */

/* How many of n values, `stride` apart, come before number i: greater ones, equal ones before. */
static size_t place(const double *v, size_t n, size_t stride, size_t i)
{
	size_t before = 0;

	for (size_t o = 0; o < n; o++)
		before +=
			v[o * stride] > v[i * stride] || (v[o * stride] == v[i * stride] && o < i);
	return before;
}

static int is(const char *a, const char *b)
{
	return a && !strcmp(a, b);
}

/* Does (t, e) take part: was it chosen, whatever there is room for? */
static int chosen(const struct reference_gate *g, const double *s, size_t t, size_t e)
{
	const struct reference *r = &g->r;
	size_t first = t / r->group * r->group;

	if (is(g->name, "expert-choice"))
		return place(&s[first * r->E + e], r->group, r->E, t - first) <
		       reference_capacity(r);
	return place(&s[t * r->E], r->E, 1, e) < r->k;
}

/* The weight of a chosen pair. */
static double weigh(const struct reference_gate *g, const double *s, size_t t, size_t e)
{
	const struct reference *r = &g->r;
	const char *how = g->weights;
	int by_expert = is(g->name, "expert-choice");
	size_t first = t / r->group * r->group;
	double sum = 0;

	if (!how)
		how = is(g->name, "sigmoid")    ? "sigmoid"
		      : r->k == 1 && !by_expert ? "all"
						: "chosen";
	if (is(how, "sigmoid"))
		return 1 / (1 + exp(-s[t * r->E + e]));
	for (size_t o = 0; by_expert && is(how, "chosen") && o < r->group; o++)
		sum += chosen(g, s, first + o, e) ? exp(s[(first + o) * r->E + e]) : 0;
	for (size_t o = 0; !(by_expert && is(how, "chosen")) && o < r->E; o++)
		sum += is(how, "all") || chosen(g, s, t, o) ? exp(s[t * r->E + o]) : 0;
	return exp(s[t * r->E + e]) / sum;
}

/* Is the chosen pair (o, e) served before (t, e)? Both of one group. */
static int served_first(const struct reference_gate *g, const double *s, size_t o, size_t t,
			size_t e)
{
	const struct reference *r = &g->r;
	size_t j = place(&s[t * r->E], r->E, 1, e), i = place(&s[o * r->E], r->E, 1, e);
	double w = weigh(g, s, t, e), v = weigh(g, s, o, e);

	if (is(g->name, "expert-choice"))
		return s[o * r->E + e] > s[t * r->E + e] ||
		       (s[o * r->E + e] == s[t * r->E + e] && o < t);
	if (is(g->drop, "token"))
		return o < t;
	if (is(g->drop, "probability") && v != w)
		return v > w;
	return i < j || (i == j && o < t);
}

static void route_lists(const struct reference_gate *g, double *dispatch, double *combine)
{
	const struct reference *r = &g->r;
	size_t C = reference_capacity(r);
	struct scores all = scores_of(g);
	const double *s = all.noisy;

	for (size_t i = 0; i < r->T * r->E; i++)
	{
		size_t t = i / r->E, e = i % r->E, first = t / r->group * r->group, position = 0;
		if (!chosen(g, s, t, e))
			continue;
		for (size_t o = first; o < first + r->group; o++)
			position += o != t && chosen(g, s, o, e) && served_first(g, s, o, t, e);
		if (position >= C)
			continue;
		dispatch[i * C + position] = 1;
		combine[i * C + position] = weigh(g, s, t, e);
	}
	free_scores(&all);
}

/* --- soft routing ----------------------------------------------------------------------------- */

/* Returns the score of a token for a slot. */
static double affinity(const struct reference_gate *g, const double *x, const double *phi)
{
	double xp = product(x, phi, g->r.M);

	return g->temperature ? xp / sqrt(product(x, x, g->r.M) * product(phi, phi, g->r.M)) /
					g->temperature[0]
			      : xp;
}

static void route_soft(const struct reference_gate *g, double *dispatch, double *combine)
{
	const struct reference *r = &g->r;
	size_t N = r->E * reference_capacity(r);

	for (size_t t = 0; t < r->T; t++)
		for (size_t n = 0; n < N; n++)
		{
			const double *x = &r->x[t * r->M], *phi = &g->phi[n * r->M];
			size_t first = t / r->group * r->group;
			double mine = exp(affinity(g, x, phi)), tokens = 0, slots = 0;
			for (size_t o = first; o < first + r->group; o++)
				tokens += exp(affinity(g, &r->x[o * r->M], phi));
			for (size_t o = 0; o < N; o++)
				slots += exp(affinity(g, x, &g->phi[o * r->M]));
			dispatch[t * N + n] = mine / tokens;
			combine[t * N + n] = mine / slots;
		}
}

int reference_gate_route(const struct reference_gate *g, double *dispatch, double *combine)
{
	static const char *const known[] = {"topk",          "gshard",  "sigmoid", "xmoe",
					    "expert-choice", "softmoe", "cosine"};
	size_t n = g->r.T * g->r.E * reference_capacity(&g->r);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (is(g->name, known[i]))
		{
			memset(dispatch, 0, n * sizeof(*dispatch));
			memset(combine, 0, n * sizeof(*combine));
			if (is(g->name, "softmoe"))
				route_soft(g, dispatch, combine);
			else
				route_lists(g, dispatch, combine);
			return 1;
		}
	return 0;
}

/* --- the layer -------------------------------------------------------------------------------- */

/* y += combine (t, slot) times the expert's output for that slot, for the tokens of one group. */
static void slot_layer(const struct reference *r, size_t first, size_t e, size_t column, size_t N,
		       const double *dispatch, const double *combine, double *y)
{
	double *row = calloc(r->M, sizeof(*row)), *out = calloc(r->M, sizeof(*out));

	for (size_t t = first; t < first + r->group; t++)
		for (size_t m = 0; m < r->M; m++)
			row[m] += dispatch[t * N + column] * r->x[t * r->M + m];
	reference_expert(r, e, row, out, NULL);
	for (size_t t = first; t < first + r->group; t++)
		for (size_t m = 0; m < r->M; m++)
			y[t * r->M + m] += combine[t * N + column] * out[m];
	free(row);
	free(out);
}

int reference_gate_layer(const struct reference_gate *g, double *y)
{
	const struct reference *r = &g->r;
	size_t C = reference_capacity(r), N = r->E * C;
	double *dispatch = malloc(r->T * N * sizeof(*dispatch));
	double *combine = malloc(r->T * N * sizeof(*combine));
	int known = reference_gate_route(g, dispatch, combine);

	for (size_t i = 0; i < r->T * r->M; i++)
		y[i] = 0;
	for (size_t first = 0; known && first < r->T; first += r->group)
		for (size_t n = 0; n < N; n++)
			slot_layer(r, first, n / C, n, N, dispatch, combine, y);
	free(dispatch);
	free(combine);
	return known;
}

/* --- losses ----------------------------------------------------------------------------------- */

static double variation(const double *v, size_t n)
{
	double mean = 0, var = 0;

	for (size_t i = 0; i < n; i++)
		mean += v[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		var += (v[i] - mean) * (v[i] - mean) / (double)n;
	return var / (mean * mean);
}

/* The chance that another draw of e's noise puts it among the k: it must beat the k-th of the
 * others. */
static double chance(const struct reference_gate *g, const struct scores *s, size_t t, size_t e)
{
	size_t E = g->r.E;

	for (size_t o = 0; o < E; o++)
	{
		size_t before = place(&s->noisy[t * E], E, 1, o);
		if (o == e)
			continue;
		before -= place(&s->noisy[t * E], E, 1, e) < before; /* e itself does not count */
		if (before + 1 == g->r.k)
			return 0.5 * (1 + erf((s->clean[t * E + e] - s->noisy[t * E + o]) /
					      s->deviation[t * E + e] / sqrt(2)));
	}
	return 1;
}

static void group_losses(const struct reference_gate *g, const struct scores *s, size_t group,
			 double loss[3])
{
	size_t E = g->r.E, S = g->r.group;
	double *importance = calloc(E, sizeof(double)), *load = calloc(E, sizeof(double));
	double *first = calloc(E, sizeof(double)), share = (double)S / (double)g->r.T;

	for (size_t t = group * S; t < (group + 1) * S; t++)
	{
		double sum = 0;
		for (size_t e = 0; e < E; e++)
			sum += exp(s->clean[t * E + e]);
		loss[2] += log(sum) * log(sum) / (double)g->r.T;
		for (size_t e = 0; e < E; e++)
		{
			importance[e] += exp(s->clean[t * E + e]) / sum;
			load[e] += chance(g, s, t, e);
			first[e] += place(&s->noisy[t * E], E, 1, e) == 0;
		}
	}
	for (size_t e = 0; e < E; e++)
		loss[0] += share * (double)E * importance[e] / (double)S * first[e] / (double)S;
	loss[1] += share * (variation(importance, E) + variation(load, E)) / 2;
	free(importance);
	free(load);
	free(first);
}

int reference_gate_losses(const struct reference_gate *g, double loss[3])
{
	struct scores s;

	loss[0] = loss[1] = loss[2] = 0;
	if (!g->weight || is(g->name, "softmoe"))
		return 0;
	s = scores_of(g);
	for (size_t i = 0; i < g->r.T / g->r.group; i++)
		group_losses(g, &s, i, loss);
	free_scores(&s);
	return 1;
}
