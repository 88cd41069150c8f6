/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include <math.h>

/* Operations that read tokens: embedding and cross-entropy. */

/* --- embedding: rows, vocabulary, columns, positions, first, span --------------------------- */

static const size_t embedding_sizes[][OPCASE_MAX_SIZES] = {
	{1, 1, 1, 1, 0, 1}, {1, 7, 3, 5, 4, 1},  {6, 2, 1, 3, 0, 3},
	{7, 5, 4, 9, 2, 7}, {11, 3, 5, 6, 1, 4}, {5, 13, 2, 9, 3, 100},
};

static fsmoe_tensor_t build_embedding(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t tokens = opcase_ints(og, FSMOE_SHAPE1(size[0]), 0, (int)size[1]);
	fsmoe_tensor_t table = opcase_param(og, FSMOE_SHAPE2(size[1], size[2]), -1, 1);
	fsmoe_tensor_t positions = opcase_param(og, FSMOE_SHAPE2(size[3], size[2]), -1, 1);

	return fsmoe_embedding(opcase_graph(og), tokens, table, positions, size[4], size[5]);
}

static void expect_embedding(const struct opcase_values *v)
{
	size_t M = v->size[2];

	for (size_t t = 0; t < v->size[0]; t++)
		for (size_t m = 0; m < M; m++)
			v->out[0][t * M + m] = v->real[1][(size_t)v->ints[0][t] * M + m] +
					       v->real[2][(v->size[4] + t % v->size[5]) * M + m];
}

static fsmoe_tensor_t build_embedding_alone(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t tokens = opcase_ints(og, FSMOE_SHAPE1(size[0]), 0, (int)size[1]);
	fsmoe_tensor_t table = opcase_param(og, FSMOE_SHAPE2(size[1], size[2]), -1, 1);

	return fsmoe_embedding(opcase_graph(og), tokens, table, FSMOE_NONE, 0, 0);
}

static void expect_embedding_alone(const struct opcase_values *v)
{
	size_t M = v->size[2];

	for (size_t i = 0; i < v->count[0]; i++)
		v->out[0][i] = v->real[1][(size_t)v->ints[0][i / M] * M + i % M];
}

/* --- cross-entropy: rows, vocabulary -------------------------------------------------------- */

static const size_t loss_sizes[][OPCASE_MAX_SIZES] = {
	{1, 1}, {1, 9}, {8, 1}, {3, 2}, {7, 11}, {13, 5}, {5, 67},
};

#define SCALE 0.37

static fsmoe_tensor_t build_loss(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t logits = opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), -3, 3);
	fsmoe_tensor_t targets = opcase_ints(og, FSMOE_SHAPE1(size[0]), 0, (int)size[1]);

	return fsmoe_cross_entropy(opcase_graph(og), logits, targets, SCALE);
}

/* About every third row does not count. */
static fsmoe_tensor_t build_loss_masked(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t logits = opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), -3, 3);
	int some = -(int)(size[1] / 2) - 1;
	fsmoe_tensor_t targets = opcase_ints(og, FSMOE_SHAPE1(size[0]), some, (int)size[1]);

	return fsmoe_cross_entropy(opcase_graph(og), logits, targets, SCALE);
}

/* Logits of hundreds: exponentials must not overflow. */
static fsmoe_tensor_t build_loss_large(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t logits = opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), 700, 720);
	fsmoe_tensor_t targets = opcase_ints(og, FSMOE_SHAPE1(size[0]), 0, (int)size[1]);

	return fsmoe_cross_entropy(opcase_graph(og), logits, targets, 1);
}

static double negative_log_softmax(const double *x, size_t n, size_t target)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += exp(x[i] - x[target]);
	return log(sum);
}

static void loss(const struct opcase_values *v, double scale)
{
	size_t V = v->size[1];
	double sum = 0;

	for (size_t t = 0; t < v->size[0]; t++)
		if (v->ints[1][t] >= 0)
			sum += negative_log_softmax(v->real[0] + t * V, V, (size_t)v->ints[1][t]);
	v->out[0][0] = scale * sum;
}

static void expect_loss(const struct opcase_values *v)
{
	loss(v, SCALE);
}

static void expect_loss_large(const struct opcase_values *v)
{
	loss(v, 1);
}

const struct opcase token_cases[] = {
	{"embedding", build_embedding, expect_embedding, OPCASE_SIZES(embedding_sizes), .seed = 21},
	{"embedding without positions", build_embedding_alone, expect_embedding_alone,
	 OPCASE_SIZES(embedding_sizes), .seed = 22},
	{"cross_entropy", build_loss, expect_loss, OPCASE_SIZES(loss_sizes), .seed = 23},
	{"cross_entropy with rows left out", build_loss_masked, expect_loss,
	 OPCASE_SIZES(loss_sizes), .seed = 24},
	/* The logarithm of a row's sum, about 720, is kept as a float; the exponential of a logit's
	 * difference to it is off by its rounding. */
	{"cross_entropy of large logits", build_loss_large, expect_loss_large,
	 OPCASE_SIZES(loss_sizes), .inner = 720, .seed = 25},
};
const int ntoken_cases = sizeof(token_cases) / sizeof(token_cases[0]);
