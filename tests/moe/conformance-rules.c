/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for a layer of every gate: causality as declared, refusals, bad numbers named, losses in
 * the gradients, noise in training only. */
#include "bench.h"
#include "pairs.h"
#include "tests/lib/opcase_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <string.h>

/* --- causality -------------------------------------------------------------------------------- */

static struct fsmoe_moe_spec causal_spec(const char *gate, double factor, const char *drop)
{
	return (struct fsmoe_moe_spec){.name = "moe",
				       .experts = 3,
				       .top_k = 2,
				       .hidden_size = 6,
				       .ffn_size = 5,
				       .capacity_factor = factor,
				       .routing_group = 8,
				       .gate = gate,
				       .gate_opts = {.drop_policy = drop}};
}

/* Whether any of 16 tokens but the last sees the last one change, in any of several changes. The
 * first group must not in any case. */
static int looks_ahead(const struct fsmoe_moe_spec *spec)
{
	struct bench b;
	double before[16 * 6], kept[6], *x;
	const double *y;
	int seen = 0;

	bench_setup(&b, spec, FSMOE_F64, NULL, 0, 16);
	assert_int_equal(bench_run(&b, NULL), 0);
	memcpy(before, bench_data(&b, b.y), sizeof(before));
	x = (double *)bench_data(&b, b.x) + 15 * 6;
	memcpy(kept, x, sizeof(kept));
	for (int change = 0; change < 20; change++)
	{
		for (int m = 0; m < 6; m++)
			x[m] = 4 * opcase_noise(9, (uint64_t)change, (uint64_t)m) - 2;
		assert_int_equal(bench_run(&b, NULL), 0);
		y = bench_data(&b, b.y);
		assert_memory_equal(before, y, 8 * 6 * sizeof(*y));
		seen |= memcmp(before, y, 15 * 6 * sizeof(*y)) != 0;
	}
	bench_teardown(&b);
	return seen;
}

static void gates_are_as_causal_as_they_say(void **state)
{
	(void)state;
	for (size_t i = 0; pair_gate(i); i++)
	{
		const struct fsmoe_gate *gate = pair_gate(i);
		const char *name = gate->module.name;
		const struct fsmoe_moe_spec open = causal_spec(name, 0, NULL);
		const struct fsmoe_moe_spec tight = causal_spec(name, 0.7, NULL);
		const struct fsmoe_moe_spec token = causal_spec(name, 0.7, "token");
		const struct fsmoe_moe_spec best = causal_spec(name, 0.7, "probability");
		if (gate->causal == FSMOE_NOT_CAUSAL)
		{
			assert_true(looks_ahead(&tight));
			continue;
		}
		assert_false(looks_ahead(&open));
		assert_false(looks_ahead(&token));
		if (gate->causal == FSMOE_CAUSAL_WITHOUT_DROPS)
			assert_true(looks_ahead(&tight) && looks_ahead(&best));
		else
			assert_false(looks_ahead(&tight));
	}
}

/* --- refusals --------------------------------------------------------------------------------- */

static void assert_refused(const struct fsmoe_moe_spec *spec, const char *words)
{
	struct bench b;

	bench_build(&b, spec, NULL, 16);
	assert_int_equal(fsmoe_graph_status(b.graph), -EINVAL);
	if (!strstr(fsmoe_last_error(), words))
		fail_msg("'%s' was expected in: %s", words, fsmoe_last_error());
	bench_teardown(&b);
}

static void leaks_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; pair_gate(i); i++)
	{
		struct fsmoe_moe_spec spec = causal_spec(pair_gate(i)->module.name, 1, NULL);
		struct bench b;
		spec.causal = 1;
		if (pair_gate(i)->causal == FSMOE_NOT_CAUSAL)
			assert_refused(&spec, "looks at later tokens");
		spec.allow_leak = pair_gate(i)->causal == FSMOE_NOT_CAUSAL;
		bench_build(&b, &spec, NULL, 16);
		assert_int_equal(fsmoe_graph_status(b.graph), 0);
		bench_teardown(&b);
	}
}

static void wrong_options_are_refused(void **state)
{
	struct fsmoe_moe_spec spec = causal_spec("topk", 1, "coin");

	(void)state;
	assert_refused(&spec,
		       "drop-policy cannot be 'coin'; there is: position, probability, token");
	spec.gate_opts = (struct fsmoe_gate_opts){.routing_weights = "heavy"};
	assert_refused(&spec, "routing-weights cannot be 'heavy'");
	spec.gate_opts = (struct fsmoe_gate_opts){.routing_weights = "chosen"};
	spec.top_k = 1;
	assert_refused(&spec, "softmax over one");
	spec.gate_opts = (struct fsmoe_gate_opts){.z_loss = -1};
	assert_refused(&spec, "weights of losses");
	spec.gate = "expert-choice";
	spec.gate_opts = (struct fsmoe_gate_opts){.balance_loss = 0.1};
	assert_refused(&spec, "no balance loss");
	spec.gate = "softmoe";
	spec.gate_opts = (struct fsmoe_gate_opts){.z_loss = 0.1};
	assert_refused(&spec, "no z loss");
	spec.gate_opts = (struct fsmoe_gate_opts){.drop_policy = "token"};
	assert_refused(&spec,
		       "gate 'softmoe' does not read the option drop-policy: omit it, or take "
		       "a gate that does: topk, gshard, sigmoid, xmoe");
	spec.gate = "xmoe";
	spec.gate_opts = (struct fsmoe_gate_opts){.xmoe_dim = 7};
	assert_refused(&spec, "a gate of rank 7 for tokens of width 6");
	spec.gate = "topk";
	assert_refused(&spec, "gate 'topk' does not read the option xmoe-dim: omit it, or "
			      "take a gate that does: xmoe");
	spec.gate_opts = (struct fsmoe_gate_opts){.softmoe_normalize = 1};
	assert_refused(&spec, "does not read the option softmoe-normalize: omit it, or take a "
			      "gate that does: softmoe");
	spec.gate = "expert-choice";
	spec.gate_opts = (struct fsmoe_gate_opts){.drop_policy = "position"};
	assert_refused(&spec, "gate 'expert-choice' does not read the option drop");
	spec.gate = "softmoe";
	spec.gate_opts = (struct fsmoe_gate_opts){0};
	spec.order = "sparse";
	assert_refused(&spec, "take order 'einsum'");
}

/* --- bad numbers ------------------------------------------------------------------------------ */

static void bad_numbers_name_step_and_layer(void **state)
{
	static const double bad[] = {NAN, INFINITY, -INFINITY};

	(void)state;
	for (size_t i = 0; pair_gate(i); i++)
		for (size_t k = 0; k < 3; k++)
		{
			const struct fsmoe_moe_spec spec =
				causal_spec(pair_gate(i)->module.name, 1, NULL);
			struct bench b;
			bench_setup(&b, &spec, FSMOE_F64, NULL, 0, 16);
			((double *)bench_data(&b, b.x))[5 * 6 + 2] = bad[k];
			assert_true(bench_run(&b, NULL) < 0);
			if (!strstr(fsmoe_last_error(), "step 3, layer -1") ||
			    !strstr(fsmoe_last_error(), "row 5"))
				fail_msg("%s", fsmoe_last_error());
			bench_teardown(&b);
		}
}

/* --- losses and noise ------------------------------------------------------------------------- */

static double total_loss(struct bench *b)
{
	int n;
	const fsmoe_tensor_t *loss = fsmoe_graph_losses(b->graph, &n);

	assert_int_equal(n, 1);
	assert_int_equal(bench_run(b, NULL), 0);
	return *(double *)bench_data(b, loss[0]) +
	       *(double *)bench_data(b, bench_port(b, "bench.loss", 2));
}

/* The gradient of an auxiliary loss is in those of the gate's weights and of the input. */
static void losses_reach_the_gradients(void **state)
{
	static const char *const params[] = {"x", "moe.gate.weight"};
	const double h = opcase_difference_step();

	(void)state;
	for (size_t i = 0; pair_gate(i); i++)
		for (int p = 0; p < 2 && pair_gate(i)->losses; p++)
		{
			struct fsmoe_moe_spec spec =
				causal_spec(pair_gate(i)->module.name, 0, NULL);
			unsigned losses = pair_gate(i)->losses;
			struct bench b;
			double *v, got, want;
			spec.gate_opts.balance_loss = losses & FSMOE_LOSS_BALANCE ? 3 : 0;
			spec.gate_opts.importance_loss = losses & FSMOE_LOSS_IMPORTANCE ? 2 : 0;
			spec.gate_opts.z_loss = losses & FSMOE_LOSS_Z ? 1.5 : 0;
			bench_setup(&b, &spec, FSMOE_F64, NULL, 0, 16);
			if (reference_gate_is_cosine(spec.gate))
				*(double *)bench_data(
					&b, bench_param(&b, "moe.gate.temperature")->tensor) = 7;
			v = (double *)bench_data(&b, bench_param(&b, params[p])->tensor) + 4;
			total_loss(&b);
			got = bench_get(&b, bench_grad(&b, params[p]), 4);
			want = 0;
			for (int k = -2; k <= 2; k++)
			{
				static const double weight[] = {1, -8, 0, 8, -1};
				double x = *v;
				*v = x + k * h;
				want += weight[k + 2] * total_loss(&b) / (12 * h);
				*v = x;
			}
			if (!(fabs(got - want) < opcase_difference_tolerance(200, fabs(want) + 10)))
				fail_msg("%s, %s: %.12g, expected %.12g", spec.gate, params[p], got,
					 want);
			bench_teardown(&b);
		}
}

/* In an evaluation, a step numbered 0, the noisy gate is the plain one. */
static void no_noise_without_training(void **state)
{
	const struct fsmoe_moe_spec noisy = causal_spec("gshard", 0.7, NULL);
	const struct fsmoe_moe_spec plain = causal_spec("topk", 0.7, NULL);
	struct bench a, b;
	const double *y, *z;
	int differ = 0;

	(void)state;
	bench_setup(&a, &noisy, FSMOE_F64, NULL, 0, 16);
	bench_setup(&b, &plain, FSMOE_F64, NULL, 0, 16);
	y = bench_data(&a, a.y);
	z = bench_data(&b, b.y);
	for (uint64_t step = 0; step < 2; step++)
	{
		const struct fsmoe_step s = {.step = step, .seed = 1};
		assert_int_equal(fsmoe_graph_execute(a.graph, a.memory, NULL, &s), 0);
		assert_int_equal(fsmoe_graph_execute(b.graph, b.memory, NULL, &s), 0);
		for (size_t i = 0; i < 16 * 6; i++)
			if (step == 0)
				assert_true(fabs(y[i] - z[i]) < 1e-12);
			else
				differ |= fabs(y[i] - z[i]) > 1e-3;
	}
	assert_true(differ);
	bench_teardown(&a);
	bench_teardown(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gates_are_as_causal_as_they_say),
		cmocka_unit_test(leaks_are_refused),
		cmocka_unit_test(wrong_options_are_refused),
		cmocka_unit_test(bad_numbers_name_step_and_layer),
		cmocka_unit_test(losses_reach_the_gradients),
		cmocka_unit_test(no_noise_without_training),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
