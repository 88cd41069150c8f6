/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/opcase.h"

#include <fsmoe/error.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/*
 * Operations refuse wrong arguments while the graph is built, or values while it runs: the sentence
 * must name the fault. They also leave something out: a gradient that nobody wants has no node.
 */

static fsmoe_tensor_t real(fsmoe_graph_t g, size_t rows, size_t columns)
{
	return fsmoe_graph_input(g, FSMOE_REAL, FSMOE_SHAPE2(rows, columns), "real");
}

static fsmoe_tensor_t ints(fsmoe_graph_t g, size_t n)
{
	return fsmoe_graph_input(g, FSMOE_INT32, FSMOE_SHAPE1(n), "ints");
}

static fsmoe_tensor_t param(fsmoe_graph_t g, const char *name, struct fsmoe_shape shape)
{
	return fsmoe_graph_param(g, &(struct fsmoe_param_spec){.name = name,
							       .global = shape,
							       .reduce = FSMOE_GROUP_WORLD});
}

/* --- while building --------------------------------------------------------------------------- */

static void linear_width(fsmoe_graph_t g)
{
	fsmoe_linear(g, real(g, 5, 3), real(g, 4, 2), FSMOE_NONE);
}

static void linear_bias(fsmoe_graph_t g)
{
	fsmoe_linear(g, real(g, 5, 3), real(g, 4, 3), real(g, 1, 3));
}

static void linear_ints(fsmoe_graph_t g)
{
	fsmoe_linear(g, ints(g, 3), real(g, 4, 3), FSMOE_NONE);
}

static void linear_nothing(fsmoe_graph_t g)
{
	fsmoe_linear(g, FSMOE_NONE, real(g, 4, 3), FSMOE_NONE);
}

static void norm_gamma(fsmoe_graph_t g)
{
	fsmoe_layer_norm(g, real(g, 5, 3), real(g, 1, 4), real(g, 1, 3));
}

static void residual_rows(fsmoe_graph_t g)
{
	fsmoe_residual(g, real(g, 5, 3), real(g, 4, 3), FSMOE_NONE);
}

static void embedding_reals(fsmoe_graph_t g)
{
	fsmoe_embedding(g, real(g, 5, 1), real(g, 7, 3), FSMOE_NONE, 0, 0);
}

static void embedding_positions(fsmoe_graph_t g)
{
	fsmoe_embedding(g, ints(g, 6), real(g, 7, 3), real(g, 8, 3), 4, 6);
}

static void embedding_span(fsmoe_graph_t g)
{
	fsmoe_embedding(g, ints(g, 6), real(g, 7, 3), real(g, 8, 3), 0, 0);
}

static void loss_targets(fsmoe_graph_t g)
{
	fsmoe_cross_entropy(g, real(g, 5, 3), ints(g, 4), 1);
}

static void attention_parts(fsmoe_graph_t g)
{
	fsmoe_attention(g, real(g, 10, 12), &(struct fsmoe_attention_args){2, 5, 2, 2, 3});
}

static void attention_width(fsmoe_graph_t g)
{
	fsmoe_attention(g, real(g, 10, 11), &(struct fsmoe_attention_args){2, 5, 2, 2, 1});
}

static void attention_nothing(fsmoe_graph_t g)
{
	fsmoe_attention(g, real(g, 10, 12), &(struct fsmoe_attention_args){2, 5, 0, 2, 1});
}

static void sgd_overlap(fsmoe_graph_t g)
{
	const struct fsmoe_segment segment[] = {{0, 3, 0}, {2, 2, 0}};

	fsmoe_sgd(g, real(g, 1, 6), real(g, 1, 6), FSMOE_NONE,
		  &(struct fsmoe_sgd_args){.nsegments = 2}, segment);
}

static void sgd_outside(fsmoe_graph_t g)
{
	const struct fsmoe_segment segment[] = {{0, 7, 0}};

	fsmoe_sgd(g, real(g, 1, 6), real(g, 1, 6), FSMOE_NONE,
		  &(struct fsmoe_sgd_args){.nsegments = 1}, segment);
}

static void adamw_beta(fsmoe_graph_t g)
{
	const struct fsmoe_segment segment[] = {{0, 6, 0}};

	fsmoe_adamw(g, real(g, 1, 6), real(g, 1, 6), real(g, 1, 6), real(g, 1, 6), FSMOE_NONE,
		    &(struct fsmoe_adamw_args){.beta1 = 1, .beta2 = 0.9, .nsegments = 1}, segment);
}

static void adamw_moment(fsmoe_graph_t g)
{
	const struct fsmoe_segment segment[] = {{0, 6, 0}};

	fsmoe_adamw(g, real(g, 1, 6), real(g, 1, 6), real(g, 1, 6), real(g, 1, 5), FSMOE_NONE,
		    &(struct fsmoe_adamw_args){.beta1 = 0.9, .beta2 = 0.9, .nsegments = 1},
		    segment);
}

/* The weight is differentiated but is a product: its gradient would be lost. */
static void linear_computed_weight(fsmoe_graph_t g)
{
	fsmoe_tensor_t w = fsmoe_gelu(
		g, fsmoe_residual(g, real(g, 1, 3), real(g, 1, 3), param(g, "p", FSMOE_SHAPE1(3))));
	fsmoe_tensor_t y = fsmoe_linear(g, real(g, 1, 3), w, FSMOE_NONE);

	fsmoe_graph_backward(g, y);
}

static void building(void **state)
{
	static const struct
	{
		void (*build)(fsmoe_graph_t);
		const char *words[3]; /* of the sentence */
	} refusals[] = {
		{linear_width, {"linear", "'w'", "4 rows of 3"}},
		{linear_bias, {"linear", "'b'", "4 elements"}},
		{linear_ints, {"linear", "'x'", "int32"}},
		{linear_nothing, {"linear", "'x'", "no tensor"}},
		{norm_gamma, {"layer_norm", "'gamma'", "3 elements"}},
		{residual_rows, {"residual", "'f'", "5 rows of 3"}},
		{embedding_reals, {"embedding", "'tokens'", "int32"}},
		{embedding_positions, {"embedding", "positions 4 to 9", "8 rows"}},
		{embedding_span, {"embedding", "span of 0", ""}},
		{loss_targets, {"cross_entropy", "'targets'", "5 elements"}},
		{attention_parts, {"attention", "3 parts", "sequence of 5"}},
		{attention_width, {"attention", "'qkv'", "10 rows of 12"}},
		{attention_nothing, {"attention", "heads 0", ""}},
		{sgd_overlap, {"sgd", "segment 1", "2 elements from 2"}},
		{sgd_outside, {"sgd", "segment 0", "6 elements"}},
		{adamw_beta, {"adamw", "beta1 1", ""}},
		{adamw_moment, {"adamw", "'v'", "6 elements"}},
		{linear_computed_weight, {"linear", "'w'", "must be a parameter"}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
	{
		fsmoe_graph_t g;
		assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
		refusals[i].build(g);
		assert_true(fsmoe_graph_status(g) < 0);
		for (int w = 0; w < 3; w++)
			if (!strstr(fsmoe_last_error(), refusals[i].words[w]))
				fail_msg("refusal %zu says '%s', not '%s'", i, fsmoe_last_error(),
					 refusals[i].words[w]);
		fsmoe_graph_destroy(g);
	}
}

/* --- while running ---------------------------------------------------------------------------- */

static void expect_failure(fsmoe_graph_t g, fsmoe_memory_t memory, const char *words)
{
	assert_true(fsmoe_graph_execute(g, memory, NULL, NULL) < 0);
	if (!strstr(fsmoe_last_error(), words))
		fail_msg("the sentence is '%s', not '%s'", fsmoe_last_error(), words);
}

static void tokens_outside(void **state)
{
	fsmoe_graph_t g;
	fsmoe_memory_t memory;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	fsmoe_tensor_t tokens = ints(g, 5);
	fsmoe_embedding(g, tokens, real(g, 7, 3), FSMOE_NONE, 0, 0);
	assert_int_equal(fsmoe_memory_create(&memory, g, FSMOE_F32, NULL), 0);
	int32_t *token = fsmoe_memory_data(memory, tokens);
	token[3] = 7;
	expect_failure(g, memory, "token 7 of row 3 is outside 0..6");
	token[3] = 0;
	token[4] = -1;
	expect_failure(g, memory, "token -1 of row 4");
	token[4] = 6;
	assert_int_equal(fsmoe_graph_execute(g, memory, NULL, NULL), 0);
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(g);
}

static void losses_not_finite(void **state)
{
	fsmoe_graph_t g;
	fsmoe_memory_t memory;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	fsmoe_tensor_t logits = real(g, 4, 3), targets = ints(g, 4);
	fsmoe_cross_entropy(g, logits, targets, 1);
	assert_int_equal(fsmoe_memory_create(&memory, g, FSMOE_F32, NULL), 0);
	float *x = fsmoe_memory_data(memory, logits);
	int32_t *target = fsmoe_memory_data(memory, targets);
	target[2] = 3;
	expect_failure(g, memory, "target 3 of row 2 is outside 0..2");
	target[2] = -1;
	x[6] = NAN; /* in a row that does not count */
	assert_int_equal(fsmoe_graph_execute(g, memory, NULL, NULL), 0);
	x[4] = NAN;
	expect_failure(g, memory, "loss of row 1 is");
	x[4] = INFINITY;
	expect_failure(g, memory, "loss of row 1 is");
	x[4] = -INFINITY; /* masked out */
	assert_int_equal(fsmoe_graph_execute(g, memory, NULL, NULL), 0);
	target[1] = 1;
	expect_failure(g, memory, "loss of row 1 is inf");
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(g);
}

static void norms_not_finite(void **state)
{
	const struct fsmoe_segment segment = {0, 6, 0};
	fsmoe_graph_t g;
	fsmoe_memory_t memory;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	fsmoe_tensor_t norm2 = real(g, 1, 1);
	fsmoe_sgd(g, real(g, 1, 6), real(g, 1, 6), norm2, &(struct fsmoe_sgd_args){1, 1}, &segment);
	assert_int_equal(fsmoe_memory_create(&memory, g, FSMOE_F32, NULL), 0);
	*(float *)fsmoe_memory_data(memory, norm2) = NAN;
	expect_failure(g, memory, "squared norm of the gradients is");
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(g);
}

/* --- gradients that nobody wants -------------------------------------------------------------- */

static int nodes_of(fsmoe_graph_t g, const char *name)
{
	int n, found = 0;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(g, &n);

	for (int i = 0; i < n; i++)
		found += !strcmp(nodes[i].op->name, name);
	return found;
}

static void unwanted(void **state)
{
	fsmoe_graph_t g;

	(void)state;
	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	fsmoe_tensor_t x = real(g, 1, 3); /* no gradient */
	fsmoe_tensor_t n = fsmoe_layer_norm(g, x, real(g, 1, 3), real(g, 1, 3));
	fsmoe_tensor_t h = fsmoe_linear(g, n, param(g, "w", FSMOE_SHAPE2(3, 3)), FSMOE_NONE);
	fsmoe_tensor_t r = fsmoe_residual(g, x, h, FSMOE_NONE);
	fsmoe_tensor_t y = fsmoe_linear(g, fsmoe_gelu(g, r), real(g, 1, 3), real(g, 1, 1));
	fsmoe_gelu(g, r); /* leads nowhere */
	assert_int_equal(fsmoe_graph_backward(g, y), 0);
	assert_int_equal(nodes_of(g, "layer_norm.backward"), 0);
	assert_int_equal(nodes_of(g, "linear.backward_input"), 1);
	assert_int_equal(nodes_of(g, "linear.backward_weight"), 1);
	assert_int_equal(nodes_of(g, "residual.backward_bias"), 0);
	assert_int_equal(nodes_of(g, "gelu.backward"), 1);
	fsmoe_graph_destroy(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(building),          cmocka_unit_test(tokens_outside),
		cmocka_unit_test(losses_not_finite), cmocka_unit_test(norms_not_finite),
		cmocka_unit_test(unwanted),
	};

	return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
