/* SPDX-License-Identifier: Apache-2.0 */
/* From a model's sizes to costs: the presets, and the paper's measured breakdown of a layer. */
#include "plancase.h"

#include "plan/grid.h"

static void every_preset_has_costs(void **state)
{
	struct fsmoe_layer_sizes sizes;
	struct fsmoe_layer_cost cost;
	fsmoe_profile_t profile;
	int layers;

	(void)state;
	assert_int_equal(fsmoe_profile_load(&profile, tree_path("data/profiles/testbed-a.json")),
			 0);
	for (int i = 0; fsmoe_layer_sizes_name(i); i++)
	{
		assert_int_equal(fsmoe_layer_sizes_init(&sizes, &layers, fsmoe_layer_sizes_name(i)),
				 0);
		assert_true(layers >= 32);
		assert_int_equal(fsmoe_layer_cost_init(&cost, profile, &sizes), 0);
		/* One rank alone: nothing to communicate, nothing to sum. */
		assert_true(cost.alltoall.work == 0 && cost.allgather.work == 0 &&
			    cost.gradient_bytes == 0 && cost.expert.work > 0);
		sizes.mp = 8;
		sizes.ep = 6;
		assert_int_equal(fsmoe_layer_cost_init(&cost, profile, &sizes), 0);
		assert_true(cost.alltoall.work > 0 && cost.gradient_bytes > 0);
		sizes.dense_forward = 0.5;
		assert_int_equal(fsmoe_layer_cost_init(&cost, profile, &sizes), 0);
		assert_true(cost.dense_forward == 0.5 && cost.dense_backward == 1);
	}
	for (int i = 0; fsmoe_model_preset_name(i); i++)
	{
		assert_true(*fsmoe_model_preset_doc(i));
		assert_int_equal(
			fsmoe_layer_sizes_init(&sizes, &layers, fsmoe_model_preset_name(i)), 0);
		assert_int_equal(fsmoe_layer_cost_init(&cost, profile, &sizes), 0);
	}
	assert_fails(fsmoe_layer_sizes_init(&sizes, &layers, "gpt2-lx"), ENOENT,
		     "did you mean 'gpt2-xl'?");
	sizes.seq = 0;
	assert_fails(fsmoe_layer_cost_init(&cost, profile, &sizes), EINVAL, "seq is 0");
	fsmoe_profile_destroy(profile);
}

static double seconds(const struct fsmoe_stage *s)
{
	return fsmoe_line_seconds(s->alpha, s->beta, s->work);
}

/* Spec 4.4: what the constants predict of the paper's Table 2, forward, in milliseconds. */
static void the_breakdown_of_table_2(void **state)
{
	static const struct
	{
		const char *preset;
		enum fsmoe_testbed testbed;
		double load, alltoall, gather, scatter, experts;
	} rows[] = {
		{"mixtral-8x7b", FSMOE_TESTBED_A, 2, 20.0, 12.5, 11.9, 16.7},
		{"gpt2-xl", FSMOE_TESTBED_A, 2, 8.2, 5.3, 5.1, 2.0},
		{"mixtral-8x7b", FSMOE_TESTBED_B, 2.4, 25.0, 38.4, 38.2, 76.8},
		{"gpt2-xl", FSMOE_TESTBED_B, 2.4, 10.0, 15.0, 15.0, 9.1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		const int b = rows[i].testbed == FSMOE_TESTBED_B;
		struct fsmoe_layer_sizes sizes;
		struct fsmoe_layer_cost c;
		fsmoe_profile_t profile;
		int layers;

		assert_int_equal(
			fsmoe_profile_load(&profile, tree_path(b ? "data/profiles/testbed-b.json"
								 : "data/profiles/testbed-a.json")),
			0);
		assert_int_equal(fsmoe_layer_sizes_init(&sizes, &layers, rows[i].preset), 0);
		sizes.batch = 4;
		sizes.load = rows[i].load;
		sizes.mp = b ? 4 : 8;
		sizes.ep = b ? 8 : 6;
		assert_int_equal(fsmoe_layer_cost_init(&c, profile, &sizes), 0);
		/* Printed with one digit after the point. */
		assert_float_equal(2e3 * seconds(&c.alltoall), rows[i].alltoall, 0.06);
		assert_float_equal(1e3 * (seconds(&c.allgather) + c.dense_gather), rows[i].gather,
				   0.06);
		assert_float_equal(1e3 * (seconds(&c.reduce_scatter) + c.dense_scatter),
				   rows[i].scatter, 0.06);
		assert_float_equal(1e3 * seconds(&c.expert), rows[i].experts, 0.06);
		fsmoe_profile_destroy(profile);
	}
}

static void kinds_have_names(void **state)
{
	(void)state;
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		assert_true(strlen(fsmoe_kind_name((enum fsmoe_kind)kind)) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_preset_has_costs),
		cmocka_unit_test(the_breakdown_of_table_2),
		cmocka_unit_test(kinds_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
