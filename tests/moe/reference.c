/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <math.h>
#include <stdlib.h>

size_t reference_capacity(const struct reference *r)
{
	double c = (double)r->k * floor(r->factor * ceil((double)r->group / (double)r->E));

	return r->factor == 0 || c > (double)r->group ? r->group : (size_t)c;
}

static void probabilities(const struct reference *r, size_t t, double *p)
{
	double sum = 0;

	for (size_t e = 0; e < r->E; e++)
	{
		double logit = 0;
		for (size_t m = 0; m < r->M; m++)
			logit += r->x[t * r->M + m] * r->wg[e * r->M + m];
		sum += p[e] = exp(logit);
	}
	for (size_t e = 0; e < r->E; e++)
		p[e] /= sum;
}

/* How many experts come before e in the order of falling probability. */
static size_t rank_of(const struct reference *r, const double *p, size_t e)
{
	size_t before = 0;

	for (size_t o = 0; o < r->E; o++)
		before += p[o] > p[e] || (p[o] == p[e] && o < e);
	return before;
}

/* Choices of the same expert in the same group that are served before choice j of token t. */
static size_t served_before(const struct reference *r, const size_t *chosen, size_t t, size_t j)
{
	size_t first = t / r->group * r->group, n = 0;

	for (size_t o = first; o < first + r->group; o++)
		for (size_t i = 0; i < r->k; i++)
			n += chosen[o * r->k + i] == chosen[t * r->k + j] &&
			     (i < j || (i == j && o < t));
	return n;
}

static void put(double *array, size_t i, double value)
{
	if (array)
		array[i] = value;
}

void reference_route(const struct reference *r, struct reference_routing *out)
{
	size_t *chosen = malloc(r->T * r->k * sizeof(*chosen));
	double *p = malloc(r->E * sizeof(*p)), *all = calloc(r->T * r->k, sizeof(*all));

	for (size_t t = 0; t < r->T; t++)
	{
		double sum = 0;
		probabilities(r, t, p);
		for (size_t e = 0; e < r->E; e++)
		{
			size_t j = rank_of(r, p, e);
			if (j >= r->k)
				continue;
			chosen[t * r->k + j] = e;
			all[t * r->k + j] = p[e];
			sum += p[e];
		}
		for (size_t j = 0; j < r->k; j++)
		{
			put(out->expert, t * r->k + j, (double)chosen[t * r->k + j]);
			put(out->weight, t * r->k + j,
			    r->k > 1 ? all[t * r->k + j] / sum : all[t * r->k + j]);
		}
	}
	out->dropped = 0;
	for (size_t i = 0; out->counts && i < r->T / r->group * r->E; i++)
		out->counts[i] = 0;
	for (size_t i = 0; i < r->T * r->k; i++)
	{
		size_t t = i / r->k, g = t / r->group, capacity = reference_capacity(r);
		size_t position = served_before(r, chosen, t, i % r->k);
		put(out->slot, i, position < capacity ? (double)(g * capacity + position) : -1.0);
		if (position >= capacity)
			out->dropped++;
		else if (out->counts)
			out->counts[g * r->E + chosen[i]]++;
	}
	free(chosen);
	free(p);
	free(all);
}

static double product(const double *w, const double *row, size_t n)
{
	double sum = 0;

	for (size_t m = 0; m < n; m++)
		sum += w[m] * row[m];
	return sum;
}

void reference_expert(const struct reference *r, size_t e, const double *row, double *out,
		      double *z)
{
	for (size_t m = 0; m < r->M; m++)
		out[m] = r->b2 ? r->b2[e * r->M + m] : 0;
	for (size_t h = 0; h < r->H; h++)
	{
		size_t at = e * r->H + h;
		double a = product(&r->w1[at * r->M], row, r->M), g, b = 0;
		if (r->b1)
			a += r->b1[at];
		if (r->w3)
			b = product(&r->w3[at * r->M], row, r->M);
		if (z)
			z[h] = a;
		if (z && r->w3)
			z[r->H + h] = b;
		if (r->w3)
			g = a / (1 + exp(-a)) * b;
		else if (r->relu)
			g = fmax(a, 0);
		else
			g = 0.5 * a * (1 + tanh(sqrt(2 / M_PI) * (a + 0.044715 * pow(a, 3))));
		for (size_t m = 0; m < r->M; m++)
			out[m] += r->w2[(e * r->M + m) * r->H + h] * g;
	}
}

int reference_layer(const struct reference *r, double *y)
{
	double *expert = malloc(r->T * r->k * sizeof(*expert));
	double *slot = malloc(r->T * r->k * sizeof(*slot));
	double *weight = malloc(r->T * r->k * sizeof(*weight)), *out = malloc(r->M * sizeof(*out));
	struct reference_routing routing = {expert, slot, weight, NULL, 0};

	reference_route(r, &routing);
	for (size_t t = 0; t < r->T; t++)
	{
		for (size_t m = 0; m < r->M; m++)
			y[t * r->M + m] = 0;
		for (size_t i = t * r->k; i < (t + 1) * r->k; i++)
		{
			if (slot[i] < 0)
				continue;
			reference_expert(r, (size_t)expert[i], &r->x[t * r->M], out, NULL);
			for (size_t m = 0; m < r->M; m++)
				y[t * r->M + m] += weight[i] * out[m];
		}
	}
	free(expert);
	free(slot);
	free(weight);
	free(out);
	return routing.dropped;
}
