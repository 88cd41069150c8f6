/* SPDX-License-Identifier: Apache-2.0 */
/* The model's description: presets, the count of parameters against the graph's, sizes that do
 * not fit, logits, and a forward whose parts are switched off. */
#include <fsmoe.h>
#include <fsmoe/module.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static fsmoe_graph_t build(struct fsmoe_model_spec *spec, fsmoe_tensor_t *out, int logits)
{
	struct fsmoe_batch_spec batch = {
		.sequences = 1, .seq_length = spec->seq_length, .scale = 1};
	fsmoe_graph_t g;

	assert_int_equal(fsmoe_graph_create(&g, NULL), 0);
	assert_null(fsmoe_graph_groups(g));
	batch.tokens =
		fsmoe_graph_input(g, FSMOE_INT32, FSMOE_SHAPE1((size_t)spec->seq_length), "tokens");
	batch.targets = fsmoe_graph_input(g, FSMOE_INT32, FSMOE_SHAPE1((size_t)spec->seq_length),
					  "targets");
	*out = logits ? fsmoe_model_logits(g, &batch, spec) : fsmoe_model_forward(g, &batch, spec);
	assert_int_equal(fsmoe_graph_status(g), 0);
	return g;
}

static void test_presets(void **state)
{
	struct fsmoe_model_spec spec;
	int n;

	(void)state;
	for (n = 0; fsmoe_model_preset_name(n); n++)
	{
		assert_int_equal(fsmoe_model_spec_init(&spec, fsmoe_model_preset_name(n)), 0);
		assert_int_equal(fsmoe_model_spec_check(&spec, NULL), 0);
		assert_true(strlen(fsmoe_model_preset_doc(n)) > 0);
	}
	assert_true(n >= 2);
	assert_true(fsmoe_model_spec_init(&spec, "huge") < 0);
	assert_non_null(strstr(fsmoe_last_error(), "tiny"));
}

static void check_count(const char *gate, int attention, int mixture)
{
	struct fsmoe_model_spec spec;
	size_t total, active, made = 0;
	fsmoe_tensor_t loss;
	int n;

	assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
	spec.gate = gate;
	spec.allow_leak = 1;
	spec.attention = attention;
	spec.moe = mixture;
	fsmoe_graph_t g = build(&spec, &loss, 0);
	const struct fsmoe_param *params = fsmoe_graph_params(g, &n);
	for (int i = 0; i < n; i++)
		made += fsmoe_shape_count(&params[i].spec.global);
	assert_int_equal(fsmoe_model_count(&spec, NULL, &total, &active), 0);
	assert_int_equal(total, made);
	if (mixture && strcmp(gate, "softmoe"))
		assert_true(active < total);
	else
		assert_int_equal(active, total);
	fsmoe_graph_destroy(g);
}

/* fsmoe_model_count counts the parameters that the graph makes, whatever the gate. */
static void test_count(void **state)
{
	struct fsmoe_module_info info[32];
	int n = 32;

	(void)state;
	assert_int_equal(fsmoe_module_list(FSMOE_MODULE_GATE, info, &n), 0);
	assert_true(n >= 6);
	for (int i = 0; i < n; i++)
		for (int part = 0; part < 4; part++)
			check_count(info[i].name, part & 1, part >> 1);
}

/* The dense parts, and those of a topk gate, by hand. */
static void test_count_by_hand(void **state)
{
	struct fsmoe_model_spec spec;
	size_t total, active, m, h, expert, rest;

	(void)state;
	assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
	m = (size_t)spec.hidden_size;
	h = (size_t)spec.ffn_size;
	expert = 2 * m * h + h + m;
	rest = ((size_t)spec.vocab_size + (size_t)spec.seq_length) * m + 2 * m +
	       (size_t)spec.layers * (4 * m * m + 4 * m + 4 * m + (size_t)spec.experts * m);
	assert_int_equal(fsmoe_model_count(&spec, NULL, &total, &active), 0);
	assert_int_equal(total, rest + (size_t)(spec.layers * spec.experts) * expert);
	assert_int_equal(active, rest + (size_t)(spec.layers * spec.top_k) * expert);
	spec.top_k = spec.experts;
	assert_int_equal(fsmoe_model_count(&spec, NULL, &total, &active), 0);
	assert_int_equal(active, total);
	spec.order = "sparse";
	spec.gate = "softmoe";
	assert_true(fsmoe_model_count(&spec, NULL, &total, &active) < 0);
}

/* Parameters of all experts, and of those that a token goes to, by formula. */
static void test_count_experts(void **state)
{
	static const struct
	{
		const char *expert;
		int bias, mh, h, m; /* elements: how many M H, H and M */
	} rows[] = {{"gpt", 1, 2, 1, 1}, {"gpt", 0, 2, 0, 0}, {"mixtral", 1, 3, 0, 0}};
	size_t total, active, all, touched;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		struct fsmoe_model_spec spec;
		size_t m, h, expert;

		assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
		m = (size_t)spec.hidden_size, h = (size_t)spec.ffn_size;
		spec.expert = rows[i].expert;
		spec.expert_bias = rows[i].bias;
		expert = (size_t)rows[i].mh * m * h + (size_t)rows[i].h * h + (size_t)rows[i].m * m;
		assert_int_equal(fsmoe_model_count(&spec, NULL, &all, &touched), 0);
		spec.moe = 0;
		assert_int_equal(fsmoe_model_count(&spec, NULL, &total, &active), 0);
		/* Besides the experts: the gate and a norm. */
		total += (size_t)spec.layers * ((size_t)spec.experts * (expert + m) + 2 * m);
		active += (size_t)spec.layers *
			  ((size_t)spec.top_k * expert + (size_t)spec.experts * m + 2 * m);
		assert_int_equal(all, total);
		assert_int_equal(touched, active);
	}
}

static void test_logits(void **state)
{
	struct fsmoe_model_spec spec;
	fsmoe_tensor_t logits;
	fsmoe_memory_t memory;
	int n;

	(void)state;
	assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
	fsmoe_graph_t g = build(&spec, &logits, 1);
	const struct fsmoe_tensor_info *t = &fsmoe_graph_tensors(g, &n)[logits];
	assert_int_equal(fsmoe_shape_count(&t->shape), spec.seq_length * spec.vocab_size);
	assert_int_equal(fsmoe_memory_create(&memory, g, FSMOE_F64, NULL), 0);
	assert_true(fsmoe_memory_bytes(memory) > fsmoe_shape_count(&t->shape) * sizeof(double));
	assert_int_equal(fsmoe_memory_init_params(memory, 1), 0);
	assert_int_equal(fsmoe_graph_execute(g, memory, NULL, NULL), 0);
	const double *value = fsmoe_memory_data(memory, logits);
	for (int i = 1; i < spec.seq_length;
	     i++) /* the same token everywhere, at other positions */
		assert_true(value[i * spec.vocab_size] != value[0]);
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(g);
}

static void test_check(void **state)
{
	struct fsmoe_model_spec spec;

	(void)state;
	assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
	spec.heads = 3;
	assert_true(fsmoe_model_spec_check(&spec, NULL) < 0);
	assert_non_null(strstr(fsmoe_last_error(), "heads"));
	assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
	spec.top_k = spec.experts + 1;
	assert_true(fsmoe_model_spec_check(&spec, NULL) < 0);
	assert_non_null(strstr(fsmoe_last_error(), "top-k"));
	assert_string_equal(fsmoe_strerror(-2), "not found");
	assert_string_equal(fsmoe_strerror(-12345), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_presets),       cmocka_unit_test(test_count),
		cmocka_unit_test(test_count_by_hand), cmocka_unit_test(test_count_experts),
		cmocka_unit_test(test_logits),        cmocka_unit_test(test_check),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
