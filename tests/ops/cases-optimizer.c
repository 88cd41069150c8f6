/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include <math.h>

/* Updates have no gradient: forward, float, access and mutants. The step is the harness': the
 * third, learning rate 0.05. Sizes: elements, elements of the first of two segments. */

static const size_t sizes[][OPCASE_MAX_SIZES] = {{1, 1}, {2, 1}, {7, 3}, {67, 32}, {129, 129}};

#define STEP 3
#define LR   0.05
#define CLIP 0.5

/* The second segment leaves the last element out when there are elements enough: padding. */
static size_t segments_of(const size_t *size, struct fsmoe_segment segment[2])
{
	size_t end = size[0] > 3 ? size[0] - 1 : size[0];

	segment[0] = (struct fsmoe_segment){
		.offset = 0, .count = size[1] < end ? size[1] : end, .decay = 0.3};
	segment[1] =
		(struct fsmoe_segment){.offset = segment[0].count, .count = end - segment[0].count};
	return segment[1].count ? 2 : 1;
}

/* The decay of element i; negative: no segment has it. */
static double decay_of(const size_t *size, size_t i)
{
	struct fsmoe_segment segment[2];
	size_t n = segments_of(size, segment);

	for (size_t s = 0; s < n; s++)
		if (i >= segment[s].offset && i < segment[s].offset + segment[s].count)
			return segment[s].decay;
	return -1;
}

static double clipped(double norm2)
{
	return fmin(1, CLIP / (sqrt(norm2) + 1e-6));
}

/* --- sum of squares, zero ------------------------------------------------------------------- */

static fsmoe_tensor_t build_squares(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t x = opcase_state(og, FSMOE_SHAPE1(size[0]), -1, 1);
	fsmoe_tensor_t out = opcase_state(og, FSMOE_SHAPE1(1), 1, 2);

	fsmoe_sum_squares(opcase_graph(og), x, out, 0.25);
	return out;
}

static void expect_squares(const struct opcase_values *v)
{
	v->out[0][0] = v->real[1][0];
	for (size_t i = 0; i < v->size[0]; i++)
		v->out[0][0] += 0.25 * v->real[0][i] * v->real[0][i];
}

static fsmoe_tensor_t build_zero(struct opcase_graph *og, const size_t *size)
{
	fsmoe_tensor_t x = opcase_state(og, FSMOE_SHAPE1(size[0]), -1, 1);

	fsmoe_zero(opcase_graph(og), x);
	return x;
}

static void expect_zero(const struct opcase_values *v)
{
	for (size_t i = 0; i < v->count[0]; i++)
		v->out[0][i] = 0;
}

/* --- adamw: param, grad, m, v, norm2 -------------------------------------------------------- */

static fsmoe_tensor_t build_adamw_with(struct opcase_graph *og, const size_t *size, double norm2)
{
	struct fsmoe_segment segment[2];
	const struct fsmoe_adamw_args args = {.beta1 = 0.9,
					      .beta2 = 0.95,
					      .eps = 1e-3,
					      .clip = CLIP,
					      .nsegments = segments_of(size, segment)};
	fsmoe_tensor_t param = opcase_state(og, FSMOE_SHAPE1(size[0]), -1, 1);
	fsmoe_tensor_t grad = opcase_state(og, FSMOE_SHAPE1(size[0]), -1, 1);
	fsmoe_tensor_t m = opcase_state(og, FSMOE_SHAPE1(size[0]), -1, 1);
	fsmoe_tensor_t v = opcase_state(og, FSMOE_SHAPE1(size[0]), 0.01, 1);
	fsmoe_tensor_t n2 =
		norm2 < 0 ? FSMOE_NONE : opcase_state(og, FSMOE_SHAPE1(1), norm2, 1.5 * norm2);

	fsmoe_adamw(opcase_graph(og), param, grad, m, v, n2, &args, segment);
	opcase_also(og, m);
	opcase_also(og, v);
	return param;
}

static fsmoe_tensor_t build_adamw(struct opcase_graph *og, const size_t *size)
{
	return build_adamw_with(og, size, -1);
}

static fsmoe_tensor_t build_adamw_clipped(struct opcase_graph *og, const size_t *size)
{
	return build_adamw_with(og, size, 9);
}

static fsmoe_tensor_t build_adamw_small(struct opcase_graph *og, const size_t *size)
{
	return build_adamw_with(og, size, 0.01);
}

/* As in Loshchilov and Hutter's algorithm 2: the corrected moments are named. */
static void expect_adamw(const struct opcase_values *v)
{
	double factor = v->real[4] ? clipped(v->real[4][0]) : 1;

	for (size_t i = 0; i < v->size[0]; i++)
	{
		double p = v->real[0][i], m = v->real[2][i], u = v->real[3][i];
		double g = factor * v->real[1][i], decay = decay_of(v->size, i);
		if (decay >= 0)
		{
			m = 0.9 * m + 0.1 * g;
			u = 0.95 * u + 0.05 * g * g;
			double m_hat = m / (1 - pow(0.9, STEP)), u_hat = u / (1 - pow(0.95, STEP));
			p = p - LR * (m_hat / (sqrt(u_hat) + 1e-3) + decay * p);
		}
		v->out[0][i] = p;
		v->out[1][i] = m;
		v->out[2][i] = u;
	}
}

/* --- sgd: param, grad, norm2 ---------------------------------------------------------------- */

static fsmoe_tensor_t build_sgd_with(struct opcase_graph *og, const size_t *size, double norm2)
{
	struct fsmoe_segment segment[2];
	const struct fsmoe_sgd_args args = {.clip = CLIP, .nsegments = segments_of(size, segment)};
	fsmoe_tensor_t param = opcase_state(og, FSMOE_SHAPE1(size[0]), -1, 1);
	fsmoe_tensor_t grad = opcase_state(og, FSMOE_SHAPE1(size[0]), -1, 1);
	fsmoe_tensor_t n2 =
		norm2 < 0 ? FSMOE_NONE : opcase_state(og, FSMOE_SHAPE1(1), norm2, 1.5 * norm2);

	fsmoe_sgd(opcase_graph(og), param, grad, n2, &args, segment);
	return param;
}

static fsmoe_tensor_t build_sgd(struct opcase_graph *og, const size_t *size)
{
	return build_sgd_with(og, size, -1);
}

static fsmoe_tensor_t build_sgd_clipped(struct opcase_graph *og, const size_t *size)
{
	return build_sgd_with(og, size, 9);
}

static void expect_sgd(const struct opcase_values *v)
{
	double factor = v->real[2] ? clipped(v->real[2][0]) : 1;

	for (size_t i = 0; i < v->size[0]; i++)
	{
		double p = v->real[0][i], decay = decay_of(v->size, i);
		v->out[0][i] = decay < 0 ? p : p - LR * (factor * v->real[1][i] + decay * p);
	}
}

#define UPDATE(text, build_, expect_, seed_)                                                       \
	{                                                                                          \
		text, build_, expect_, OPCASE_SIZES(sizes), .flags = OPCASE_NO_GRADIENT,           \
							    .seed = seed_                          \
	}

const struct opcase optimizer_cases[] = {
	UPDATE("sum_squares", build_squares, expect_squares, 61),
	UPDATE("zero", build_zero, expect_zero, 62),
	UPDATE("adamw", build_adamw, expect_adamw, 63),
	UPDATE("adamw, clipped", build_adamw_clipped, expect_adamw, 64),
	UPDATE("adamw, below the clip", build_adamw_small, expect_adamw, 65),
	UPDATE("sgd", build_sgd, expect_sgd, 66),
	UPDATE("sgd, clipped", build_sgd_clipped, expect_sgd, 67),
};
const int noptimizer_cases = sizeof(optimizer_cases) / sizeof(optimizer_cases[0]);
