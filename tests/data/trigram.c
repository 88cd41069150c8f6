/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trigram PATH [HELD_OUT]: the loss in nats per byte, on the part of a text that fsmoe holds out
 * (the last tenth), of a table of trigrams counted on the rest: what a model must beat to have
 * learned more than which letter follows two others.
 *
 * Every order is interpolated with the one below by absolute discounting; the discounts are those
 * that do best on the last tenth of the training part when counted on what is before it. The table
 * sees two bytes before every byte that it predicts.
 *
 * trigram --check: known texts have known losses.
 */
#include "base/rng.h"
#include "data/data.h"

#include <fsmoe/error.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
	V = 256,
	ORDERS = 3
};

/* Counts of every order: of n bytes in a row, of their first n - 1 as contexts, and of the
 * different bytes that follow a context. */
struct table
{
	uint32_t *count[ORDERS], *context[ORDERS], *kinds[ORDERS];
};

static size_t power(int n)
{
	size_t p = 1;

	while (n-- > 0)
		p *= V;
	return p;
}

static void make(struct table *t)
{
	for (int n = 0; n < ORDERS; n++)
	{
		t->count[n] = calloc(power(n + 1), sizeof(uint32_t));
		t->context[n] = calloc(power(n), sizeof(uint32_t));
		t->kinds[n] = calloc(power(n), sizeof(uint32_t));
		if (!t->count[n] || !t->context[n] || !t->kinds[n])
		{
			fprintf(stderr, "no memory\n");
			exit(1);
		}
	}
}

static void destroy(struct table *t)
{
	for (int n = 0; n < ORDERS; n++)
	{
		free(t->count[n]);
		free(t->context[n]);
		free(t->kinds[n]);
	}
}

static size_t context_at(const int32_t *text, size_t at, int n)
{
	size_t index = 0;

	for (int i = n; i > 0; i--)
		index = index * V + (size_t)text[at - (size_t)i];
	return index;
}

static void count(struct table *t, const int32_t *text, size_t begin, size_t end)
{
	for (size_t at = begin; at < end; at++)
		for (int n = 0; n < ORDERS && at >= begin + (size_t)n; n++)
		{
			size_t context = context_at(text, at, n);
			uint32_t *c = &t->count[n][context * V + (size_t)text[at]];
			t->kinds[n][context] += *c == 0;
			(*c)++;
			t->context[n][context]++;
		}
}

static double probability(const struct table *t, const double *discount, const int32_t *text,
			  size_t at)
{
	double p = 1.0 / V;

	for (int n = 0; n < ORDERS && at >= (size_t)n; n++)
	{
		size_t context = context_at(text, at, n);
		double c = t->count[n][context * V + (size_t)text[at]];
		double all = t->context[n][context], kinds = t->kinds[n][context];
		if (all > 0)
			p = (c > discount[n] ? c - discount[n] : 0) / all +
			    discount[n] * kinds / all * p;
	}
	return p;
}

static double loss(const struct table *t, const double *discount, const int32_t *text, size_t begin,
		   size_t end)
{
	double sum = 0;

	for (size_t at = begin; at < end; at++)
		sum -= log(probability(t, discount, text, at));
	return sum / (double)(end - begin);
}

/* One discount after another, twice: they hardly depend on each other. */
static void tune(const int32_t *text, size_t trained, double *discount)
{
	const size_t cut = trained - trained / 10;
	struct table t;

	make(&t);
	count(&t, text, 0, cut);
	for (int n = 0; n < ORDERS; n++)
		discount[n] = 0.5;
	for (int round = 0; round < 2; round++)
		for (int n = 0; n < ORDERS; n++)
		{
			double best = INFINITY, chosen = 0.5;
			for (double d = 0.05; d < 1; d += 0.05)
			{
				double here;
				discount[n] = d;
				here = loss(&t, discount, text, cut, trained);
				if (here < best)
				{
					best = here;
					chosen = d;
				}
			}
			discount[n] = chosen;
		}
	destroy(&t);
}

static double trigram(const int32_t *text, size_t trained, size_t n, double *discount)
{
	struct table t;
	double result;

	tune(text, trained, discount);
	make(&t);
	count(&t, text, 0, trained);
	result = loss(&t, discount, text, trained, n);
	destroy(&t);
	return result;
}

static int check(void)
{
	enum
	{
		N = 200000
	};
	static int32_t text[N];
	double discount[ORDERS], certain, random;

	/* Two bytes decide the next one. */
	text[0] = text[1] = 1;
	for (size_t i = 2; i < N; i++)
		text[i] = (3 * text[i - 1] + 5 * text[i - 2] + 1) % 11;
	certain = trigram(text, N - N / 10, N, discount);
	/* Sixteen bytes, each as likely as the others: log 16, and nothing to be had below it. */
	for (size_t i = 0; i < N; i++)
		text[i] = (int32_t)(fsmoe_rng_bits(1, i) % 16);
	random = trigram(text, N - N / 10, N, discount);
	printf("certain: %.4f  random: %.4f (log 16 is %.4f)\n", certain, random, log(16));
	return !(certain < 0.01 && random > log(16) - 0.01 && random < log(16) + 0.05);
}

static int measure(const char *path, double held_out)
{
	const struct fsmoe_data_opts opts = {
		.vocab_size = V, .format = FSMOE_DATA_BYTES, .held_out = held_out};
	struct fsmoe_data *data;
	double discount[ORDERS], result;
	int32_t *text, *targets;
	size_t trained, n;
	int err = fsmoe_data_open(&data, path, &opts);

	if (err)
		goto failed;
	trained = fsmoe_data_tokens(data, FSMOE_SPLIT_TRAIN);
	n = trained + fsmoe_data_tokens(data, FSMOE_SPLIT_HELD_OUT);
	text = calloc(n, sizeof(*text));
	targets = calloc(n, sizeof(*targets));
	/* The whole text as one window of each part. */
	err = fsmoe_data_windows(data, FSMOE_SPLIT_TRAIN, 0, 1, (int)trained - 1, text, targets);
	if (!err)
	{
		text[trained - 1] = targets[trained - 2];
		err = fsmoe_data_windows(data, FSMOE_SPLIT_HELD_OUT, 0, 1, (int)(n - trained) - 1,
					 text + trained, targets);
		text[n - 1] = targets[n - trained - 2];
	}
	if (err)
		goto failed;
	result = trigram(text, trained, n, discount);
	printf("%.4f nats per byte over %zu bytes held out of %zu (discounts %.2f %.2f %.2f)\n",
	       result, n - trained, n, discount[0], discount[1], discount[2]);
	free(text);
	free(targets);
	fsmoe_data_close(data);
	return 0;
failed:
	fprintf(stderr, "trigram: %s\n", fsmoe_last_error());
	return 1;
}

int main(int argc, char **argv)
{
	if (argc < 2 || !strcmp(argv[1], "--check"))
		return check();
	return measure(argv[1], argc > 2 ? atof(argv[2]) : 0.1);
}
