/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include <math.h>

/* Linear, layer norm, GELU, residual: sizes are rows, columns in, columns out. */

static const size_t sizes[][OPCASE_MAX_SIZES] = {
	{1, 1, 1}, {1, 5, 3}, {7, 1, 2}, {3, 2, 1}, {5, 7, 11}, {13, 3, 17}, {19, 33, 9},
};

/* --- linear ------------------------------------------------------------------------------- */

static fsmoe_tensor_t build_linear(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t x = opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), -1, 1);
	fsmoe_tensor_t w = opcase_param(og, FSMOE_SHAPE2(size[2], size[1]), -1, 1);
	fsmoe_tensor_t b = opcase_param(og, FSMOE_SHAPE1(size[2]), -1, 1);

	return fsmoe_linear(opcase_graph(og), x, w, b);
}

static fsmoe_tensor_t build_linear_no_bias(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t x = opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), -1, 1);
	fsmoe_tensor_t w = opcase_param(og, FSMOE_SHAPE2(size[2], size[1]), -1, 1);

	return fsmoe_linear(opcase_graph(og), x, w, FSMOE_NONE);
}

/* x and w with more dimensions than two: (2, T, I) and (O, 1, I). */
static fsmoe_tensor_t build_linear_dims(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t x = opcase_activation(og, FSMOE_SHAPE3(2, size[0], size[1]), -1, 1);
	fsmoe_tensor_t w = opcase_param(og, FSMOE_SHAPE3(size[2], 1, size[1]), -1, 1);
	fsmoe_tensor_t b = opcase_param(og, FSMOE_SHAPE2(1, size[2]), -1, 1);

	return fsmoe_linear(opcase_graph(og), x, w, b);
}

static void linear(const struct opcase_values *v, size_t rows, const double *bias)
{
	size_t in = v->size[1], out = v->size[2];

	for (size_t t = 0; t < rows; t++)
		for (size_t o = 0; o < out; o++)
		{
			double sum = bias ? bias[o] : 0;
			for (size_t i = 0; i < in; i++)
				sum += v->real[0][t * in + i] * v->real[1][o * in + i];
			v->out[0][t * out + o] = sum;
		}
}

static void expect_linear(const struct opcase_values *v)
{
	linear(v, v->size[0], v->real[2]);
}

static void expect_linear_no_bias(const struct opcase_values *v)
{
	linear(v, v->size[0], NULL);
}

static void expect_linear_dims(const struct opcase_values *v)
{
	linear(v, 2 * v->size[0], v->real[2]);
}

/* One weight in two places: its gradients add up (tied embeddings, shared layers). */
static fsmoe_tensor_t build_linear_tied(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t x = opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), -1, 1);
	fsmoe_tensor_t w = opcase_param(og, FSMOE_SHAPE2(size[1], size[1]), -1, 1);
	fsmoe_tensor_t y = fsmoe_linear(opcase_graph(og), x, w, FSMOE_NONE);

	return fsmoe_linear(opcase_graph(og), y, w, FSMOE_NONE);
}

/* --- layer norm --------------------------------------------------------------------------- */

static fsmoe_tensor_t build_layer_norm(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t x = opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), -4, 4);
	fsmoe_tensor_t gamma = opcase_param(og, FSMOE_SHAPE1(size[1]), -1, 2);
	fsmoe_tensor_t beta = opcase_param(og, FSMOE_SHAPE1(size[1]), -1, 1);

	return fsmoe_layer_norm(opcase_graph(og), x, gamma, beta);
}

static void expect_layer_norm(const struct opcase_values *v)
{
	size_t M = v->size[1];

	for (size_t t = 0; t < v->size[0]; t++)
	{
		const double *x = v->real[0] + t * M;
		double mean = 0, var = 0;
		for (size_t m = 0; m < M; m++)
			mean += x[m] / (double)M;
		for (size_t m = 0; m < M; m++)
			var += pow(x[m] - mean, 2) / (double)M;
		for (size_t m = 0; m < M; m++)
			v->out[0][t * M + m] =
				(x[m] - mean) / sqrt(var + 1e-5) * v->real[1][m] + v->real[2][m];
	}
}

/* --- gelu --------------------------------------------------------------------------------- */

static fsmoe_tensor_t build_gelu(struct opcase_graph *og, const size_t *size)
{
	return fsmoe_gelu(opcase_graph(og),
			  opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), -4, 4));
}

static void expect_gelu(const struct opcase_values *v)
{
	for (size_t i = 0; i < v->count[0]; i++)
	{
		double x = v->real[0][i];
		v->out[0][i] =
			0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * pow(x, 3))));
	}
}

/* --- residual ----------------------------------------------------------------------------- */

static fsmoe_tensor_t build_residual(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t x = opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), -1, 1);
	fsmoe_tensor_t f = opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), -1, 1);
	fsmoe_tensor_t bias = opcase_param(og, FSMOE_SHAPE1(size[1]), -1, 1);

	return fsmoe_residual(opcase_graph(og), x, f, bias);
}

static void expect_residual(const struct opcase_values *v)
{
	for (size_t i = 0; i < v->count[0]; i++)
		v->out[0][i] = v->real[0][i] + v->real[1][i] + v->real[2][i % v->size[1]];
}

/* Both inputs the same tensor, no bias: two gifts to one tensor, y = 2 gelu(x). */
static fsmoe_tensor_t build_residual_twice(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t x = opcase_activation(og, FSMOE_SHAPE2(size[0], size[1]), -1, 1);
	fsmoe_tensor_t g = fsmoe_gelu(opcase_graph(og), x);

	return fsmoe_residual(opcase_graph(og), g, g, FSMOE_NONE);
}

static void expect_residual_twice(const struct opcase_values *v)
{
	expect_gelu(v);
	for (size_t i = 0; i < v->count[0]; i++)
		v->out[0][i] *= 2;
}

const struct opcase dense_cases[] = {
	{"linear", build_linear, expect_linear, OPCASE_SIZES(sizes), .seed = 1},
	{"linear without bias", build_linear_no_bias, expect_linear_no_bias, OPCASE_SIZES(sizes),
	 .seed = 2},
	{"linear with more dimensions", build_linear_dims, expect_linear_dims, OPCASE_SIZES(sizes),
	 .seed = 3},
	{"linear with a tied weight", build_linear_tied, NULL, OPCASE_SIZES(sizes), .seed = 4},
	{"layer_norm", build_layer_norm, expect_layer_norm, OPCASE_SIZES(sizes), .seed = 5},
	{"gelu", build_gelu, expect_gelu, OPCASE_SIZES(sizes), .seed = 6},
	{"residual", build_residual, expect_residual, OPCASE_SIZES(sizes), .seed = 7},
	{"residual of one tensor", build_residual_twice, expect_residual_twice, OPCASE_SIZES(sizes),
	 .seed = 8},
};
const int ndense_cases = sizeof(dense_cases) / sizeof(dense_cases[0]);
