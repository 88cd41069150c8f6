/* SPDX-License-Identifier: Apache-2.0 */
#include "opcase_internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* --- tolerances ---------------------------------------------------------------------------- */

/*
 * A sum of n rounded terms is off by at most n eps times the sum of their magnitudes. Elements
 * around `magnitude` are made of terms of about that size or of size 1, whichever is greater
 * (leaves are of order 1); a few roundings more go to what is done to each term (exp, tanh,
 * division).
 */
double opcase_tolerance(enum fsmoe_real real, size_t length, double magnitude)
{
	double eps = real == FSMOE_F64 ? DBL_EPSILON : (double)FLT_EPSILON;

	/* Sums are float there. What is off by up to 2^-9 is every factor and every tensor that a
	 * chain of nodes leaves behind; these roundings are independent of one another, and
	 * three of their standard deviations, 2^-9 / sqrt(3) each, are less than this. */
	if (real == FSMOE_BF16)
		return sqrt((double)(length + 16)) / 256 * (magnitude > 1 ? magnitude : 1);
	return 2 * eps * (double)(length + 16) * (magnitude > 1 ? magnitude : 1);
}

double opcase_graph_tolerance(const struct opcase_graph *f64, enum fsmoe_real real,
			      double magnitude)
{
	return opcase_tolerance(real, opcase_graph_length(f64), magnitude) +
	       (double)FLT_EPSILON * f64->c->inner;
}

/* The five-point formula is off by about h^4 f''''' / 30 + eps f / h: least at eps^(1/5). */
double opcase_difference_step(void)
{
	return pow(DBL_EPSILON, 0.2);
}

double opcase_difference_tolerance(size_t length, double magnitude)
{
	double rounding = opcase_tolerance(FSMOE_F64, length, magnitude) / opcase_difference_step();
	double truncation = pow(opcase_difference_step(), 4);

	/* Fifth derivatives of a composed softmax or norm reach a few thousand. */
	return rounding + 1e3 * truncation * (magnitude > 1 ? magnitude : 1);
}

static double largest(const double *x, size_t n)
{
	double most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs(x[i]));
	return most;
}

static void assert_close(const struct opcase_graph *og, const char *what, int which,
			 const double *got, const double *want, size_t n, double tolerance)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabs(got[i] - want[i]) <= tolerance))
			fail_msg(
				"%s at size %zu %zu %zu %zu: %s %d, element %zu of %zu: got %.17g, "
				"expected %.17g, off by %.3g, tolerance %.3g",
				og->c->name, og->size[0], og->size[1], og->size[2], og->size[3],
				what, which, i, n, got[i], want[i], got[i] - want[i], tolerance);
}

/* --- forward against plain loops ----------------------------------------------------------- */

static void forward_at(const struct opcase *c, const size_t *size)
{
	struct opcase_graph og;
	struct opcase_values values = {.size = size};
	double *leaf[OPCASE_MAX_LEAVES] = {NULL}, *got;
	size_t n;

	opcase_graph_setup(&og, c, size, 0, FSMOE_F64);
	for (int l = 0; l < og.nleaves; l++) /* before they are changed in place */
	{
		values.real[l] = leaf[l] = opcase_graph_read(&og, og.leaf[l].tensor, &n);
		if (og.leaf[l].kind == OPCASE_LEAF_INTS)
			values.ints[l] = fsmoe_memory_data(og.memory, og.leaf[l].tensor);
	}
	opcase_graph_execute(&og);
	for (int k = 0; k < og.nouts; k++)
	{
		values.count[k] = fsmoe_shape_count(&opcase_info(&og, og.out[k])->shape);
		values.out[k] = calloc(values.count[k] + 1, sizeof(double));
		assert_non_null(values.out[k]);
	}
	c->expect(&values);
	for (int k = 0; k < og.nouts; k++)
	{
		got = opcase_graph_read(&og, og.out[k], &n);
		assert_close(&og, "output", k, got, values.out[k], n,
			     opcase_tolerance(FSMOE_F64, opcase_graph_length(&og),
					      largest(values.out[k], n)));
		free(got);
		free(values.out[k]);
	}
	for (int l = 0; l < og.nleaves; l++)
		free(leaf[l]);
	opcase_graph_teardown(&og);
}

void opcase_test_forward(const struct opcase *c)
{
	for (int s = 0; s < c->nsizes; s++)
		forward_at(c, c->sizes[s]);
}

/* --- gradient against finite differences --------------------------------------------------- */

static double loss_at(struct opcase_graph *og, double *x, double value)
{
	double kept = *x;

	*x = value;
	opcase_graph_execute(og);
	*x = kept;
	return *(double *)fsmoe_memory_data(og->memory, og->loss);
}

static double difference(struct opcase_graph *og, double *x)
{
	double h = opcase_difference_step();
	double near = loss_at(og, x, *x + h) - loss_at(og, x, *x - h);
	double far = loss_at(og, x, *x + 2 * h) - loss_at(og, x, *x - 2 * h);

	return (8 * near - far) / (12 * h);
}

static void gradient_of_leaf(struct opcase_graph *forward, struct opcase_graph *both, int l)
{
	fsmoe_tensor_t tensor = forward->leaf[l].tensor;
	size_t n = fsmoe_shape_count(&opcase_info(forward, tensor)->shape), count;
	double *x = fsmoe_memory_data(forward->memory, tensor);
	double *got =
		opcase_graph_read(both, opcase_info(both, both->leaf[l].tensor)->grad, &count);
	double *want = calloc(n + 1, sizeof(*want));

	assert_non_null(want);
	assert_int_equal(count, n);
	for (size_t i = 0; i < n; i++)
	{
		want[i] = difference(forward, &x[i]);
		/* Less what was there before: the leaf's fill, drawn again. */
		got[i] -= opcase_noise(both->c->seed, 50 + (uint64_t)l, i);
	}
	double loss = fabs(loss_at(forward, x, x[0]));
	assert_close(forward, "gradient of leaf", l, got, want, n,
		     opcase_difference_tolerance(opcase_graph_length(forward),
						 fmax(loss, largest(want, n))));
	free(got);
	free(want);
}

void opcase_test_gradient(const struct opcase *c)
{
	for (int s = 0; s < c->nsizes; s++)
	{
		struct opcase_graph forward, both;
		opcase_graph_setup(&forward, c, c->sizes[s], 0, FSMOE_F64);
		opcase_graph_setup(&both, c, c->sizes[s], 1, FSMOE_F64);
		opcase_graph_execute(&both);
		for (int l = 0; l < forward.nleaves; l++)
			if (forward.leaf[l].kind == OPCASE_LEAF_PARAM)
				gradient_of_leaf(&forward, &both, l);
		opcase_graph_teardown(&forward);
		opcase_graph_teardown(&both);
	}
}

/* --- float against double ------------------------------------------------------------------ */

static void compare_precisions(const struct opcase_graph *f32, const struct opcase_graph *f64,
			       const char *what, int which, fsmoe_tensor_t tensor)
{
	size_t n;
	double *got = opcase_graph_read(f32, tensor, &n),
	       *want = opcase_graph_read(f64, tensor, &n);

	assert_close(f64, what, which, got, want, n,
		     opcase_graph_tolerance(f64, FSMOE_F32, largest(want, n)));
	free(got);
	free(want);
}

void opcase_test_float(const struct opcase *c)
{
	for (int s = 0; s < c->nsizes; s++)
	{
		struct opcase_graph f32, f64;
		opcase_graph_setup(&f32, c, c->sizes[s], 1, FSMOE_F32);
		opcase_graph_setup(&f64, c, c->sizes[s], 1, FSMOE_F64);
		opcase_graph_execute(&f32);
		opcase_graph_execute(&f64);
		for (int k = 0; k < f64.nouts; k++)
			compare_precisions(&f32, &f64, "float output", k, f64.out[k]);
		for (int l = 0; l < f64.nleaves; l++)
			if (f64.leaf[l].kind == OPCASE_LEAF_PARAM)
				compare_precisions(&f32, &f64, "float gradient of leaf", l,
						   opcase_info(&f64, f64.leaf[l].tensor)->grad);
		opcase_graph_teardown(&f32);
		opcase_graph_teardown(&f64);
	}
}

/* --- access -------------------------------------------------------------------------------- */

void opcase_test_access(const struct opcase *c, struct opcase_ports *ports)
{
	for (int s = 0; s < c->nsizes; s++)
	{
		struct opcase_graph og;
		opcase_graph_setup(&og, c, c->sizes[s], 1, FSMOE_F64);
		opcase_observe_graph(ports, og.graph, og.memory, NULL, c->covers);
		opcase_graph_teardown(&og);
	}
}
