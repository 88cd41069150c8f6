/* SPDX-License-Identifier: Apache-2.0 */
/* From a model's sizes to costs: the presets, and the paper's measured breakdown of a layer. */
#include "plancase.h"

#include "plan/grid.h"
#include "step/step.h"
#include <fsmoe/model.h>
#include <fsmoe/topo.h>

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
		sizes.tp = 8;
		sizes.ep = 6;
		assert_int_equal(fsmoe_layer_cost_init(&cost, profile, &sizes), 0);
		assert_true(cost.alltoall.work > 0 && cost.gradient_bytes > 0);
		sizes.dense_forward = 0.5;
		assert_int_equal(fsmoe_layer_cost_init(&cost, profile, &sizes), 0);
		assert_true(cost.dense_forward == 0.5 && cost.dense_backward == 1);
	}
	for (int i = 0; fsmoe_model_preset_name(i); i++)
		assert_true(*fsmoe_model_preset_doc(i));
	assert_fails(fsmoe_layer_sizes_init(&sizes, &layers, "gpt2-lx"), ENOENT,
		     "did you mean 'gpt2-xl'?");
	sizes.seq_length = 0;
	assert_fails(fsmoe_layer_cost_init(&cost, profile, &sizes), EINVAL, "seq-length is 0");
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
		sizes.tp = b ? 4 : 8;
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

/* A line for everything: a kind's number in microseconds to start, and as many picoseconds a
 * unit. */
static fsmoe_profile_t simple_profile(void)
{
	fsmoe_profile_t p;

	assert_int_equal(fsmoe_profile_create(&p), 0);
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
			if (FSMOE_KIND_IS_COMM(kind) != (lane == FSMOE_COMPUTE))
				assert_int_equal(
					fsmoe_profile_set(p, (enum fsmoe_kind)kind,
							  (enum fsmoe_lane)lane,
							  &(struct fsmoe_fit){1e-6 * (kind + 1),
									      1e-12 * (kind + 1)}),
					0);
	return p;
}

static void costs_are_read_off_a_graph(void **state)
{
	const struct fsmoe_layout layout = {0};
	struct fsmoe_layer_cost read[8], by_formula;
	struct fsmoe_layer_sizes sizes;
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_step_graph step;
	fsmoe_profile_t profile = simple_profile();
	fsmoe_groups_t groups;
	fsmoe_topo_t topo;

	(void)state;
	assert_int_equal(fsmoe_topo_create(&topo, "node:2 gpu:2", 0), 0);
	assert_int_equal(fsmoe_groups_create(&groups, topo, &layout), 0);
	assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
	spec.layers = 3;
	fsmoe_train_opts_init(&opts);
	opts.seq_length = spec.seq_length;
	opts.global_batch = 8;
	opts.micro_batches = 2;
	if (fsmoe_step_create(&step, groups, fsmoe_model_as_forward(&spec), &opts))
		fail_msg("%s", fsmoe_last_error());
	if (fsmoe_layer_cost_read(read, spec.layers, step.graph, profile))
		fail_msg("%s", fsmoe_last_error());
	sizes = (struct fsmoe_layer_sizes){.batch = 2,
					   .seq_length = spec.seq_length,
					   .hidden_size = spec.hidden_size,
					   .ffn_size = spec.ffn_size,
					   .heads = spec.heads,
					   .experts = spec.experts,
					   .load = spec.top_k * spec.capacity_factor,
					   .gemms = 2,
					   .biases = 1,
					   .tp = 2,
					   .ep = 2};
	assert_int_equal(fsmoe_layer_cost_init(&by_formula, profile, &sizes), 0);
	for (int i = 0; i < 3; i++)
	{
		const struct fsmoe_layer_cost *c = &read[i];

		/* Slots are whole numbers in the graph. */
		assert_float_equal(c->alltoall.work / by_formula.alltoall.work, 1, 0.3);
		assert_float_equal(c->allgather.work / by_formula.allgather.work, 1, 0.3);
		assert_true(c->allgather.work == 2 * c->alltoall.work &&
			    c->reduce_scatter.work == c->allgather.work);
		assert_float_equal(c->expert.work / by_formula.expert.work, 1, 0.3);
		assert_true(c->expert_input.work >= 0.99 * c->expert.work &&
			    c->expert_weights.work >= 0.99 * c->expert.work);
		assert_true(c->alltoall.alpha == by_formula.alltoall.alpha);
		assert_float_equal(c->dense_gather, by_formula.dense_gather, 1e-9);
		assert_float_equal(c->dense_scatter, by_formula.dense_scatter, 1e-9);
		/* In the graph every parameter of a bucket is padded. */
		assert_true(c->gradient_bytes >= 0.99 * by_formula.gradient_bytes &&
			    c->gradient_bytes <= by_formula.gradient_bytes + 10 * 32 * 4);
		assert_int_equal(c->slots, 2 * 2 * 4); /* 2 sequences, 8 tokens, 4 experts */
		assert_true(c->dense_forward > 0 && c->dense_backward > 0);
	}
	fsmoe_step_destroy(&step);
	spec.forward_degree = 2;
	assert_int_equal(fsmoe_step_create(&step, groups, fsmoe_model_as_forward(&spec), &opts), 0);
	assert_fails(fsmoe_layer_cost_read(read, 3, step.graph, profile), EINVAL, "one chunk");
	fsmoe_step_destroy(&step);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	fsmoe_profile_destroy(profile);
}

/* The stages of a dispatch inside the node are on the lane of AllGather and ReduceScatter. */
static void stages_of_a_dispatch_are_costed(void **state)
{
	static const char *const dispatch[] = {"flat", "2dh", "1dh"};
	struct fsmoe_layer_cost cost[3][2];
	fsmoe_profile_t profile = simple_profile();
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;

	(void)state;
	assert_int_equal(fsmoe_topo_create(&topo, "node:2 gpu:4", 0), 0);
	assert_int_equal(fsmoe_groups_create(&groups, topo,
					     &(struct fsmoe_layout){.tp = 1, .ep = 4, .esp = 2}),
			 0);
	for (int d = 0; d < 3; d++)
	{
		struct fsmoe_model_spec spec;
		struct fsmoe_train_opts opts;
		struct fsmoe_step_graph step;
		assert_int_equal(fsmoe_model_spec_init(&spec, "tiny"), 0);
		fsmoe_train_opts_init(&opts);
		opts.global_batch = 8;
		spec.dispatch = dispatch[d];
		if (fsmoe_step_create(&step, groups, fsmoe_model_as_forward(&spec), &opts) ||
		    fsmoe_layer_cost_read(cost[d], spec.layers, step.graph, profile))
			fail_msg("%s", fsmoe_last_error());
		fsmoe_step_destroy(&step);
	}
	for (int i = 0; i < 2; i++)
	{
		const struct fsmoe_layer_cost *flat = &cost[0][i], *two = &cost[1][i],
					      *one = &cost[2][i];
		const int line = FSMOE_KIND_STAGE + 1; /* simple_profile()'s */
		const double a2a =
			fsmoe_line_seconds(1e-6 * line, 1e-12 * line, flat->alltoall.work);

		/* One AlltoAll more on each of the intra lane's stages; both lanes cost the same
		 * here, and a part of an AlltoAll goes by a line of its own. */
		assert_true(seconds(&flat->alltoall) != a2a);
		assert_true(two->alltoall.work == flat->alltoall.work);
		assert_float_equal(seconds(&two->alltoall), a2a, 1e-15);
		assert_float_equal(seconds(&two->allgather), seconds(&flat->allgather) + a2a,
				   1e-15);
		assert_float_equal(seconds(&two->reduce_scatter),
				   seconds(&flat->reduce_scatter) + a2a, 1e-15);
		/* The leader sends for both places of its node, and gathers and scatters as
		 * much. */
		assert_true(one->alltoall.work == 2 * flat->alltoall.work);
		assert_float_equal(seconds(&one->allgather),
				   seconds(&flat->allgather) + 2 * seconds(&one->alltoall), 1e-15);
		assert_float_equal(two->dense_forward, flat->dense_forward, 1e-15);
		assert_float_equal(one->expert.work, flat->expert.work, 0);
	}
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	fsmoe_profile_destroy(profile);
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
		cmocka_unit_test(costs_are_read_off_a_graph),
		cmocka_unit_test(stages_of_a_dispatch_are_costed),
		cmocka_unit_test(kinds_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
