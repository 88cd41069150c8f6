/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worked numbers of the reference program and of exact evaluations (tests/plan/schedule-cases.json;
 * its "meta" tells where they are from). Times are milliseconds there and sizes elements; the
 * planner is linear in both, so they go in as they are.
 */
#include "plancase.h"

#include "base/json.h"
#include "plan/grid.h"
#include "plan/gradient_windows.h"

static struct fsmoe_json cases;

static int load(void **state)
{
	(void)state;
	return fsmoe_json_load(&cases, tree_path("tests/plan/schedule-cases.json"));
}

static int unload(void **state)
{
	(void)state;
	fsmoe_json_free(&cases);
	return 0;
}

static double real(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	assert_true(json_is_number(value));
	return json_number_value(value);
}

static const json_t *at(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	assert_non_null(value);
	return value;
}

static struct fsmoe_stage stage(const json_t *c, const char *name)
{
	return (struct fsmoe_stage){real(at(c, "alpha"), name), real(at(c, "beta"), name),
				    real(at(c, "n"), name)};
}

/* alpha, beta, n of a case as a layer whose forward and backward experts are as given. */
static struct fsmoe_layer_cost layer_of(const json_t *c)
{
	struct fsmoe_layer_cost cost = {.alltoall = stage(c, "a2a"),
					.allgather = stage(c, "ag"),
					.reduce_scatter = stage(c, "rs"),
					.expert = stage(c, "exp")};

	cost.expert_input = cost.expert_weights = cost.expert;
	return cost;
}

static void assert_near(double x, double expected, double relative)
{
	if (fabs(x - expected) > relative * fabs(expected))
		fail_msg("%.9g instead of %.9g", x, expected);
}

/* --- degrees ------------------------------------------------------------------------------ */

/* Best degree of powers of two, or of 1 to 16, against the case's. In these cases the experts'
 * numbers are those of the phase, so all are walked as forward. */
static void check_best(const json_t *c, int powers, const json_t *expected)
{
	const struct fsmoe_plan_problem p = {.max_degree = powers ? 8 : 16, .powers = powers};
	const struct fsmoe_schedule *row = fsmoe_schedule_find("fsmoe");
	const struct fsmoe_layer_cost cost = layer_of(c);
	const double gradient = real(c, "t_gar");
	const int r = (int)real(expected, "r");
	struct fsmoe_option_cost *o;
	const int n = fsmoe_layer_options(&p, row, &cost, FSMOE_FORWARD, FSMOE_DEGREE_BEST, &o);
	const int best = fsmoe_best_option(o, n, gradient);
	const double t = fsmoe_moe_seconds(row, &cost, FSMOE_FORWARD, o[best].degree, gradient),
		     theirs = fsmoe_moe_seconds(row, &cost, FSMOE_FORWARD, r, gradient);

	/* The one or the other, within 1e-6; exact_int is by the max form, never above ours. */
	if (o[best].degree != r)
		assert_near(t, theirs, 1e-6);
	if (powers)
		assert_near(t, real(expected, "t"), 1e-5);
	else
		assert_true(t >= real(expected, "t") * (1 - 1e-5));
	free(o);
}

static void degree_cases(void **state)
{
	const struct fsmoe_schedule *row = fsmoe_schedule_find("fsmoe");
	size_t i;
	json_t *c, *per;
	const char *r;

	(void)state;
	json_array_foreach(at(cases.root, "degree_cases"), i, c)
	{
		const struct fsmoe_layer_cost cost = layer_of(c);

		json_object_foreach(json_object_get(c, "per_r"), r, per)
		{
			struct fsmoe_chunk chunk;
			double t;

			fsmoe_chunk_of(row, &cost, FSMOE_FORWARD, atoi(r), &chunk);
			t = fsmoe_layer_walk(row, &chunk, atoi(r), real(c, "t_gar"), NULL, NULL);
			assert_near(t, real(per, "makespan_des"), 1e-12);
			/* The free window at no gradient. */
			t = fsmoe_layer_walk(row, &chunk, atoi(r), 0, NULL, NULL) -
			    2 * atoi(r) * chunk.alltoall;
			if (chunk.allgather == chunk.reduce_scatter)
				assert_near(t, real(per, "t_olp"), 1e-9);
		}
		check_best(c, 1, at(c, "exact_des_pow2"));
		check_best(c, 0, at(c, "exact_int_1_16"));
	}
}

/* --- events ------------------------------------------------------------------------------- */

static const char *const lanes[] = {"compute", "intra", "inter"};
static const char *const tasks[] = {"D", "AG", "E", "RS", "C", "GAR", "W"};

static void schedule_cases(void **state)
{
	size_t i, k;
	json_t *c, *event;

	(void)state;
	json_array_foreach(at(cases.root, "schedule_cases"), i, c)
	{
		const json_t *t = at(c, "chunk"), *events = at(c, "events");
		const struct fsmoe_chunk chunk = {real(t, "a2a"), real(t, "ag"), real(t, "exp"),
						  real(t, "rs"), 0};
		const int r = (int)real(c, "r");
		struct fsmoe_layer_event e[FSMOE_LAYER_EVENTS(16)];
		int n, found;

		assert_near(fsmoe_layer_walk(fsmoe_schedule_find("fsmoe"), &chunk, r,
					     real(c, "t_gar"), e, &n),
			    real(c, "makespan"), 1e-12);
		assert_int_equal(n, (int)json_array_size(events));
		json_array_foreach(events, k, event)
		{
			found = 0;
			for (int m = 0; m < n; m++)
			{
				char name[16];

				snprintf(name, sizeof(name), e[m].chunk < 0 ? "%s" : "%s%d",
					 tasks[e[m].task], e[m].chunk + 1);
				if (strcmp(name, json_string_value(at(event, "op"))))
					continue;
				found++;
				assert_string_equal(lanes[e[m].lane],
						    json_string_value(at(event, "stream")));
				assert_float_equal(e[m].start, real(event, "start"), 1e-9);
				assert_float_equal(e[m].end, real(event, "end"), 1e-9);
			}
			assert_int_equal(found, 1);
		}
	}
}

/* --- greedy fills ------------------------------------------------------------------------- */

static void fill_cases(void **state)
{
	size_t i;
	json_t *c;

	(void)state;
	json_array_foreach(at(cases.root, "step1_cases"), i, c)
	{
		const json_t *windows = at(c, "windows"), *ref = at(c, "ref"),
			     *filled = at(ref, "filled_per_window"),
			     *index = at(ref, "leftover_idx");
		const int n = (int)json_array_size(windows);
		struct fsmoe_gradient_window w[16];
		uint64_t bytes[16], left[16];
		double expected[16] = {0};

		assert_true(n <= 16);
		for (int k = 0; k < n; k++)
			w[k] = (struct fsmoe_gradient_window){
				json_number_value(json_array_get(windows, (size_t)k)),
				(uint64_t)json_number_value(
					json_array_get(at(c, "grads"), (size_t)k))};
		fsmoe_fill_windows(w, n, real(c, "alpha_ar"), real(c, "beta_ar"), 1, bytes, left);
		for (size_t k = 0; k < json_array_size(index); k++)
			expected[json_integer_value(json_array_get(index, k))] =
				json_number_value(json_array_get(at(ref, "leftover"), k));
		for (int k = 0; k < n; k++)
		{
			assert_float_equal((double)bytes[k],
					   json_number_value(json_array_get(filled, (size_t)k)), 2);
			assert_float_equal((double)left[k], expected[k], 2);
		}
	}
}

/* --- whole plans -------------------------------------------------------------------------- */

/* The reference's answer as a plan of ours. */
static struct fsmoe_plan reference_plan(const json_t *ref, int l, double gradient)
{
	struct fsmoe_plan plan = {.layers = l,
				  .layer = calloc((size_t)l, sizeof(struct fsmoe_plan_layer))};
	uint64_t there = 0;

	for (int i = l - 1; i >= 0; i--, there += (uint64_t)gradient)
	{
		struct fsmoe_plan_layer *p = &plan.layer[i];

		p->forward_degree = (int)real(ref, "d0");
		p->backward_degree = (int)json_integer_value(
			json_array_get(at(ref, "backward_degrees"), (size_t)i));
		if (i + 1 == l)
			continue;
		p->moe.bytes = (uint64_t)json_number_value(
			json_array_get(at(ref, "final_xs_moe"), (size_t)i));
		p->dense.bytes = (uint64_t)json_number_value(
			json_array_get(at(ref, "final_xs_att"), (size_t)i));
		/* Its shares are rounded up: a few elements more than there are. */
		if (p->moe.bytes + p->dense.bytes > there)
		{
			assert_true(p->moe.bytes + p->dense.bytes <= there + 6);
			p->dense.bytes = there - p->moe.bytes;
		}
		p->moe.pieces = p->moe.bytes > 0;
		p->dense.pieces = p->dense.bytes > 0;
		there -= p->moe.bytes + p->dense.bytes;
	}
	plan.tail = (struct fsmoe_share){there, there > 0};
	return plan;
}

static void check_full(const json_t *c)
{
	const json_t *in = at(c, "inputs"), *exact = at(c, "exact"),
		     *ref = at(at(c, "ref"), "seed0");
	const struct fsmoe_schedule *row = fsmoe_schedule_find("fsmoe");
	const double dense = real(in, "b") * real(in, "s") * real(in, "m"),
		     gradient = 4 * floor(real(ref, "grad_per_layer") / 4);
	const json_t *alpha = at(in, "alpha"), *beta = at(in, "beta");
	const int l = (int)real(in, "l");
	struct fsmoe_layer_cost layer[16];
	struct fsmoe_plan_problem p = {.layers = l,
				       .layer = layer,
				       .allreduce_alpha = real(alpha, "ar"),
				       .allreduce_beta = real(beta, "ar"),
				       .max_degree = 8,
				       .powers = 1};
	struct fsmoe_plan ours, theirs = reference_plan(ref, l, gradient);
	json_t *both = json_pack("{s:O, s:O, s:O}", "alpha", alpha, "beta", beta, "n", at(c, "n"));

	assert_true(l <= 16);
	layer[0] = layer_of(both);
	layer[0].dense_forward = layer[0].dense_backward = real(in, "t_others");
	layer[0].dense_gather = real(alpha, "ag") + real(beta, "ag") * dense;
	layer[0].dense_scatter = real(alpha, "rs") + real(beta, "rs") * dense;
	layer[0].gradient_bytes = gradient;
	for (int i = 1; i < l; i++)
		layer[i] = layer[0];
	assert_near(fsmoe_dense_window(row, &layer[0]), real(ref, "others_total"), 1e-9);
	if (fsmoe_plan_create(&ours, &p, row))
		fail_msg("%s", fsmoe_last_error());
	assert_int_equal(ours.layer[0].forward_degree, (int)real(exact, "fwd_r"));
	assert_int_equal(ours.layer[l - 1].backward_degree, (int)real(exact, "bwd_r_gar0"));
	assert_near(fsmoe_moe_seconds(row, &layer[0], FSMOE_BACKWARD,
				      (int)real(exact, "bwd_r_gar0"), 0),
		    real(exact, "bwd_t_gar0"), 1e-5);
	if (fsmoe_plan_predict(&theirs, &p, row))
		fail_msg("%s", fsmoe_last_error());
	print_message("%-22s ours %.6f ms, the reference's plan %.6f ms, %.4f %% less\n",
		      json_string_value(at(in, "id")), step_seconds(&ours), step_seconds(&theirs),
		      100 * (1 - step_seconds(&ours) / step_seconds(&theirs)));
	assert_true(step_seconds(&ours) <= step_seconds(&theirs) * (1 + 1e-12));
	fsmoe_plan_destroy(&ours);
	fsmoe_plan_destroy(&theirs);
	json_decref(both);
}

static void full_cases(void **state)
{
	size_t i;
	json_t *c;

	(void)state;
	json_array_foreach(at(cases.root, "full_cases"), i, c) check_full(c);
}

/* --- how often passes differ -------------------------------------------------------------- */

/* Spec 5.5: points of the grid whose passes have different best degrees, by the max form. */
static int best_by_max_form(const struct fsmoe_layer_cost *c, int backward, int most, int powers)
{
	double least = INFINITY;
	int best = 1;

	for (int r = 1; r <= most; r = powers ? 2 * r : r + 1)
	{
		const double a = c->alltoall.alpha + c->alltoall.beta * c->alltoall.work / r,
			     side = c->allgather.alpha + c->allgather.beta * c->allgather.work / r +
				    c->reduce_scatter.alpha +
				    c->reduce_scatter.beta * c->reduce_scatter.work / r,
			     e = (backward ? 2 : 1) *
				 (c->expert.alpha + c->expert.beta * c->expert.work / r),
			     t = fmax(fmax(2 * r * a + side, 2 * a + side + r * e),
				      2 * a + r * side);

		if (t < least)
		{
			least = t;
			best = r;
		}
	}
	return best;
}

static int count_different(const char *name, enum fsmoe_testbed testbed, double communication,
			   double compute, int most, int powers)
{
	fsmoe_profile_t profile;
	int different = 0;

	if (fsmoe_profile_load(&profile, tree_path(name)))
		fail_msg("%s", fsmoe_last_error());
	for (int i = 0; i < FSMOE_GRID_POINTS; i++)
	{
		const struct fsmoe_grid_point x = fsmoe_grid_point(testbed, i);
		const struct fsmoe_layer_sizes s = fsmoe_grid_sizes(testbed, &x);
		struct fsmoe_layer_cost c;

		assert_int_equal(fsmoe_layer_cost_init(&c, profile, &s), 0);
		c.alltoall.beta *= communication;
		c.allgather.beta *= communication;
		c.reduce_scatter.beta *= communication;
		c.expert.beta *= compute;
		different += best_by_max_form(&c, 0, most, powers) !=
			     best_by_max_form(&c, 1, most, powers);
	}
	fsmoe_profile_destroy(profile);
	return different;
}

static void grid_counts(void **state)
{
	static const char a[] = "data/profiles/testbed-a.json",
			  b[] = "data/profiles/testbed-b.json";

	(void)state;
	/* As printed, with n in elements: a quarter of what it is. */
	assert_int_equal(count_different(b, FSMOE_TESTBED_B, 0.25, 0.25, 64, 0), 912);
	assert_int_equal(count_different(b, FSMOE_TESTBED_B, 0.25, 0.25, 8, 1), 603);
	assert_int_equal(count_different(b, FSMOE_TESTBED_B, 1, 1, 64, 0), 1185);
	assert_int_equal(count_different(b, FSMOE_TESTBED_B, 1, 1, 8, 1), 531);
	assert_int_equal(count_different(a, FSMOE_TESTBED_A, 1, 1, 8, 1), 528);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(degree_cases), cmocka_unit_test(schedule_cases),
		cmocka_unit_test(fill_cases),   cmocka_unit_test(full_cases),
		cmocka_unit_test(grid_counts),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
