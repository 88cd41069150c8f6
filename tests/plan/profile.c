/* SPDX-License-Identifier: Apache-2.0 */
/* Fits, and the files of profiles and plans: what is saved is what is read; wrong ones say why. */
#include "plancase.h"

static void a_line_is_found_through_noise_and_outliers(void **state)
{
	struct draw d = {fsmoe_rng_key(1, "fit"), 0};
	double n[200], t[200];
	struct fsmoe_fit fit;

	(void)state;
	for (int i = 0; i < 200; i++)
	{
		n[i] = 1e6 * (1 + i / 10);
		t[i] = (3e-4 + 2e-10 * n[i]) * (1 + 0.01 * (uniform(&d) - 0.5));
		/* An interrupt now and then. */
		if (i % 17 == 3)
			t[i] *= 3;
	}
	assert_int_equal(fsmoe_fit_line(n, t, 200, &fit), 0);
	assert_float_equal(fit.alpha / 3e-4, 1, 0.01);
	assert_float_equal(fit.beta / 2e-10, 1, 0.01);
	assert_int_equal(fit.samples, 200);
	assert_int_equal(fit.dropped, 12);
	assert_true(fit.r2 > 0.999 && fit.residual < 0.01);
	assert_true(fit.low == 1e6 && fit.high == 20e6);
}

static void the_order_of_measurements_does_not_matter(void **state)
{
	struct draw d = {fsmoe_rng_key(2, "fit"), 0};
	double n[60], t[60], m[60], u[60];
	struct fsmoe_fit a, b;

	(void)state;
	for (int i = 0; i < 60; i++)
	{
		n[i] = 1000 * (1 + i % 12);
		t[i] = 1e-5 * (1 + uniform(&d)) + 1e-9 * n[i];
	}
	for (int i = 0; i < 60; i++)
	{
		m[i] = n[(i * 7 + 3) % 60];
		u[i] = t[(i * 7 + 3) % 60];
	}
	assert_int_equal(fsmoe_fit_line(n, t, 60, &a), 0);
	assert_int_equal(fsmoe_fit_line(m, u, 60, &b), 0);
	assert_true(a.alpha == b.alpha && a.beta == b.beta && a.dropped == b.dropped &&
		    a.r2 == b.r2 && a.residual == b.residual);
}

/* Two operations of one kind, one twice as slow a byte: together they take what the line says. */
static void a_mix_is_in_the_middle(void **state)
{
	double n[40], t[40], measured = 0, predicted = 0;
	struct fsmoe_fit fit;

	(void)state;
	for (int i = 0; i < 40; i++)
	{
		n[i] = 1000 * (i + 1);
		t[i] = 1e-9 * (1 + i % 2) * n[i];
	}
	assert_int_equal(fsmoe_fit_line(n, t, 40, &fit), 0);
	for (int i = 0; i < 40; i++)
	{
		measured += t[i];
		predicted += fsmoe_line_seconds(fit.alpha, fit.beta, n[i]);
	}
	assert_float_equal(predicted / measured, 1, 0.02);
}

static void a_line_never_falls_or_starts_below_nothing(void **state)
{
	static const double n[] = {1, 2, 4}, falling[] = {3, 2, 1}, steep[] = {1, 4, 10};
	struct fsmoe_fit fit;

	(void)state;
	assert_int_equal(fsmoe_fit_line(n, falling, 3, &fit), 0);
	assert_true(fit.beta == 0 && fit.alpha > 0);
	assert_int_equal(fsmoe_fit_line(n, steep, 3, &fit), 0);
	assert_true(fit.alpha == 0 && fit.beta > 0);
	assert_fails(fsmoe_fit_line(n, steep, 1, &fit), EINVAL, "at least two sizes");
	assert_fails(fsmoe_fit_line(n, (const double[]){1, 0, 1}, 3, &fit), EINVAL,
		     "measurement 2 of 3");
}

/* --- profiles ----------------------------------------------------------------------------- */

static void what_is_saved_is_what_is_read(void **state)
{
	const struct fsmoe_fit fit = {.alpha = 0.1,
				      .beta = 1.0 / 3e9,
				      .samples = 120,
				      .dropped = 3,
				      .low = 1024,
				      .high = 1e8 / 3,
				      .r2 = 0.99912345678901234,
				      .residual = 0.012,
				      .source = "a \"quoted\" source, \xc3\xa9"},
			       stage = {.alpha = 3};
	const char *path = test_path("profile");
	fsmoe_profile_t p, q;
	struct fsmoe_fit read;
	double seconds;

	(void)state;
	assert_int_equal(fsmoe_profile_create(&p), 0);
	assert_int_equal(fsmoe_profile_describe(p, "node:2 gpu:4", "measured here"), 0);
	assert_string_equal(fsmoe_profile_dtype(p), "");
	assert_int_equal(fsmoe_profile_set_arithmetic(p, "cuda", "bf16"), 0);
	assert_fails(fsmoe_profile_set_arithmetic(p, NULL, "a name of a dtype that is long"),
		     EINVAL, "15 bytes");
	assert_int_equal(fsmoe_profile_set(p, FSMOE_KIND_ALLTOALL, FSMOE_INTER, &fit), 0);
	assert_int_equal(fsmoe_profile_set(p, FSMOE_KIND_GEMM, FSMOE_COMPUTE, &fit), 0);
	assert_int_equal(fsmoe_profile_save(p, path), 0);
	assert_int_equal(fsmoe_profile_load(&q, path), 0);
	assert_string_equal(fsmoe_profile_machine(q), "node:2 gpu:4");
	assert_string_equal(fsmoe_profile_source(q), "measured here");
	assert_string_equal(fsmoe_profile_device(q), "cuda");
	assert_string_equal(fsmoe_profile_dtype(q), "bf16");
	assert_int_equal(fsmoe_profile_get(q, FSMOE_KIND_ALLTOALL, FSMOE_INTER, &read), 0);
	assert_memory_equal(&read, &fit, sizeof(fit));
	assert_int_equal(fsmoe_profile_predict(q, FSMOE_KIND_GEMM, FSMOE_COMPUTE, 12345, &seconds),
			 0);
	assert_true(seconds == fsmoe_line_seconds(fit.alpha, fit.beta, 12345));
	assert_fails(fsmoe_profile_get(q, FSMOE_KIND_ALLTOALL, FSMOE_INTRA, &read), ENODATA,
		     "no line for alltoall on the lane intra");
	/* A stage of an AlltoAll is as one of them until it has a line of its own. */
	assert_int_equal(fsmoe_profile_get(q, FSMOE_KIND_STAGE, FSMOE_INTER, &read), 0);
	assert_memory_equal(&read, &fit, sizeof(fit));
	assert_int_equal(fsmoe_profile_set(q, FSMOE_KIND_STAGE, FSMOE_INTER, &stage), 0);
	assert_int_equal(fsmoe_profile_get(q, FSMOE_KIND_STAGE, FSMOE_INTER, &read), 0);
	assert_memory_equal(&read, &stage, sizeof(stage));
	/* Routing and reductions, which read bytes, take the line of memory. */
	assert_fails(fsmoe_profile_get(q, FSMOE_KIND_ROUTING, FSMOE_COMPUTE, &read), ENODATA,
		     "no line for memory on the lane compute");
	assert_int_equal(fsmoe_profile_set(q, FSMOE_KIND_MEMORY, FSMOE_COMPUTE, &stage), 0);
	assert_int_equal(fsmoe_profile_get(q, FSMOE_KIND_REDUCTION, FSMOE_COMPUTE, &read), 0);
	assert_memory_equal(&read, &stage, sizeof(stage));
	assert_fails(fsmoe_profile_set(q, FSMOE_KIND_ALLTOALL, FSMOE_COMPUTE, &fit), EINVAL,
		     "does not run on the lane compute");
	assert_fails(fsmoe_profile_set(q, FSMOE_KIND_GEMM, FSMOE_COMPUTE,
				       &(struct fsmoe_fit){.alpha = -1}),
		     EINVAL, "not negative");
	fsmoe_profile_destroy(p);
	fsmoe_profile_destroy(q);
}

static void units_are_converted_where_they_are_read(void **state)
{
	struct fsmoe_fit fit;
	fsmoe_profile_t p;

	(void)state;
	assert_int_equal(fsmoe_profile_load(&p, tree_path("data/profiles/testbed-a.json")), 0);
	assert_int_equal(fsmoe_profile_get(p, FSMOE_KIND_ALLTOALL, FSMOE_INTER, &fit), 0);
	/* 1.7 GB/s a GPU, 21.8 TFLOP/s. */
	assert_float_equal(1 / fit.beta, 1.724e9, 1e6);
	assert_int_equal(fsmoe_profile_get(p, FSMOE_KIND_GEMM, FSMOE_COMPUTE, &fit), 0);
	assert_float_equal(1 / fit.beta, 21.83e12, 1e10);
	assert_float_equal(fit.alpha, 4.26e-5, 1e-12);
	fsmoe_profile_destroy(p);
	assert_int_equal(fsmoe_profile_load(&p, tree_path("data/profiles/testbed-b.json")), 0);
	assert_int_equal(fsmoe_profile_get(p, FSMOE_KIND_ALLTOALL, FSMOE_INTER, &fit), 0);
	assert_float_equal(1 / fit.beta, 3.268e9, 1e6);
	fsmoe_profile_destroy(p);
}

static void refuse_profile(const char *text, const char *part)
{
	const char *path = test_path("bad-profile");
	fsmoe_profile_t p;

	test_write(path, text, strlen(text));
	assert_fails(fsmoe_profile_load(&p, path), EPROTO, part);
	assert_non_null(strstr(fsmoe_last_error(), path));
	unlink(path);
}

#define PROFILE(fits) "{\"format\": \"fsmoe profile\", \"version\": 1, \"fits\": [" fits "]}"

static void wrong_profiles_say_what_is_wrong(void **state)
{
	fsmoe_profile_t p;

	(void)state;
	refuse_profile("{", "not JSON");
	refuse_profile("[]", "\"format\" is not");
	refuse_profile("{\"format\": \"fsmoe plan\"}", "\"format\" is not");
	refuse_profile("{\"format\": \"fsmoe profile\", \"version\": 2, \"fits\": []}",
		       "\"version\"");
	refuse_profile("{\"format\": \"fsmoe profile\", \"version\": 1, \"fit\": []}",
		       "\"fit\" is an unknown key; did you mean \"fits\"?");
	refuse_profile("{\"format\": \"fsmoe profile\", \"version\": 1}",
		       "\"fits\" must be an array");
	refuse_profile(PROFILE("3"), "\"fits\" must hold objects");
	refuse_profile(PROFILE("{\"kind\": \"gem\"}"), "fit 1: \"kind\" must be one of gemm");
	refuse_profile(PROFILE("{\"kind\": \"gemm\", \"alpha\": 1}"), "fit 1: \"beta\" is missing");
	refuse_profile(PROFILE("{\"kind\": \"gemm\", \"alpha\": -1, \"beta\": 1}"),
		       "\"alpha\" must be a number, 0 or more");
	refuse_profile(PROFILE("{\"kind\": \"gemm\", \"alpha\": \"1\", \"beta\": 1}"),
		       "\"alpha\" must be a number");
	refuse_profile(PROFILE("{\"kind\": \"alltoall\", \"alpha\": 1, \"beta\": 1}"),
		       "\"lane\" must be one of");
	refuse_profile(PROFILE("{\"kind\": \"alltoall\", \"lane\": \"compute\", \"alpha\": 1, "
			       "\"beta\": 1}"),
		       "\"lane\" does not go with this kind");
	refuse_profile(PROFILE("{\"kind\": \"gemm\", \"alpha\": 1, \"beta\": 1, \"time\": \"h\"}"),
		       "\"time\" must be one of s, ms and us");
	refuse_profile(PROFILE("{\"kind\": \"gemm\", \"alpha\": 1, \"beta\": 1, \"smples\": 1}"),
		       "did you mean \"samples\"?");
	refuse_profile(PROFILE("{\"kind\": \"gemm\", \"alpha\": 1, \"beta\": 1, \"samples\": 1.5}"),
		       "\"samples\" must be a whole number");
	refuse_profile(PROFILE("{\"kind\": \"gemm\", \"alpha\": 1, \"beta\": 1}, "
			       "{\"kind\": \"gemm\", \"alpha\": 1, \"beta\": 1}"),
		       "fit 2: \"kind\" says a second time");
	assert_fails(fsmoe_profile_load(&p, test_path("absent")), ENOENT, "absent");
}

/* --- plans -------------------------------------------------------------------------------- */

static void plans_are_read_as_they_were_saved(void **state)
{
	struct draw d = {fsmoe_rng_key(3, "fit"), 0};
	const char *path = test_path("plan");
	struct fsmoe_layer_cost layer[5];
	const struct fsmoe_plan_problem p = {.layers = 5,
					     .layer = layer,
					     .allreduce_alpha = 1e-4,
					     .allreduce_beta = 1e-9,
					     .max_degree = 8};
	struct fsmoe_plan plan, read;
	uint64_t hash, other;

	(void)state;
	for (int i = 0; i < 5; i++)
		layer[i] = random_layer(&d);
	for (int k = 0; fsmoe_schedule_at(k); k++)
	{
		assert_int_equal(fsmoe_plan_create(&plan, &p, fsmoe_schedule_at(k)), 0);
		assert_int_equal(fsmoe_plan_save(&plan, path), 0);
		assert_int_equal(fsmoe_plan_load(&read, path), 0);
		assert_string_equal(read.schedule, plan.schedule);
		assert_int_equal(read.layers, plan.layers);
		assert_memory_equal(read.layer, plan.layer, 5 * sizeof(*plan.layer));
		assert_true(read.forward == plan.forward && read.backward == plan.backward &&
			    read.tail_seconds == plan.tail_seconds);
		assert_int_equal(fsmoe_plan_hash(&plan, &hash), 0);
		assert_int_equal(fsmoe_plan_hash(&read, &other), 0);
		assert_true(hash == other);
		read.layer[2].backward_degree++;
		assert_int_equal(fsmoe_plan_hash(&read, &other), 0);
		assert_true(hash != other);
		fsmoe_plan_destroy(&plan);
		fsmoe_plan_destroy(&read);
	}
	assert_fails(fsmoe_plan_save(&plan, "/proc/absent/plan"), ENOENT, "cannot write");
	unlink(path);
}

static void refuse_plan(const char *text, const char *part)
{
	const char *path = test_path("bad-plan");
	struct fsmoe_plan plan;

	test_write(path, text, strlen(text));
	assert_fails(fsmoe_plan_load(&plan, path), EPROTO, part);
	unlink(path);
}

#define PLAN(layers)                                                                               \
	"{\"format\": \"fsmoe plan\", \"version\": 1, \"schedule\": \"fsmoe\", \"layers\": "       \
	"[" layers "]}"

static void wrong_plans_say_what_is_wrong(void **state)
{
	(void)state;
	refuse_plan("{}", "\"format\" is not");
	refuse_plan("{\"format\": \"fsmoe plan\", \"version\": 9}", "\"version\"");
	refuse_plan(PLAN(""), "\"layers\" must be an array of at least one layer");
	refuse_plan(PLAN("{\"forward_degree\": 0}"), "layer 0: \"forward_degree\" must be");
	refuse_plan(PLAN("{}, {\"moe_bytes\": -4}"), "layer 1: \"moe_bytes\" must be");
	refuse_plan(PLAN("{\"moe_bytes\": 5}"), "multiple of 4");
	refuse_plan(PLAN("{\"moe_bytes\": 8, \"moe_pieces\": 0}"), "\"moe_pieces\" must be 0");
	refuse_plan(PLAN("{\"dens_bytes\": 8}"), "did you mean \"dense_bytes\"?");
}

static void plans_that_do_not_fit_are_not_predicted(void **state)
{
	struct draw d = {fsmoe_rng_key(4, "fit"), 0};
	struct fsmoe_layer_cost layer[3];
	struct fsmoe_plan_problem p = {.layers = 3,
				       .layer = layer,
				       .allreduce_alpha = 1e-4,
				       .allreduce_beta = 1e-9,
				       .max_degree = 8};
	const struct fsmoe_schedule *row = fsmoe_schedule_find("fsmoe");
	struct fsmoe_plan plan;

	(void)state;
	for (int i = 0; i < 3; i++)
		layer[i] = random_layer(&d);
	assert_int_equal(fsmoe_plan_create(&plan, &p, row), 0);
	plan.layer[2].moe = (struct fsmoe_share){4, 1};
	assert_fails(fsmoe_plan_predict(&plan, &p, row), EINVAL, "0 are ready by then");
	plan.layer[2].moe = (struct fsmoe_share){0, 0};
	plan.tail.bytes += 4;
	assert_fails(fsmoe_plan_predict(&plan, &p, row), EINVAL, "are left");
	plan.tail.bytes -= 4;
	layer[1].slots = plan.layer[1].backward_degree = 2;
	plan.layer[1].backward_degree = 3;
	assert_fails(fsmoe_plan_predict(&plan, &p, row), EINVAL, "cannot be cut into");
	p.layers = 2;
	assert_fails(fsmoe_plan_predict(&plan, &p, row), EINVAL, "the plan is of 3 layers");
	fsmoe_plan_destroy(&plan);
	layer[0].dense_forward = NAN;
	assert_fails(fsmoe_plan_create(&plan, &p, row), EINVAL, "layer 0 has a cost");
	p.layers = 0;
	assert_fails(fsmoe_plan_create(&plan, &p, row), EINVAL, "at least one layer");
}

static void a_profile_says_where_it_comes_from(void **state)
{
	char path[256], text[FSMOE_PROFILE_TEXT + 1], key[16];
	struct fsmoe_fit fit = {.alpha = 1e-6, .beta = 1e-12, .samples = 9, .sharing = 1.5}, back;
	fsmoe_profile_t p, read;
	const char *of;

	(void)state;
	snprintf(path, sizeof(path), "%s", test_path("notes.json"));
	assert_int_equal(fsmoe_profile_create(&p), 0);
	assert_int_equal(fsmoe_profile_set(p, FSMOE_KIND_GEMM, FSMOE_COMPUTE, &fit), 0);
	assert_int_equal(fsmoe_profile_note(p, "ranks", "4"), 0);
	assert_int_equal(fsmoe_profile_note(p, "date", "a \"day\"\n"), 0);
	assert_int_equal(fsmoe_profile_note(p, "ranks", "8"), 0);
	assert_int_equal(fsmoe_profile_save(p, path), 0);
	assert_int_equal(fsmoe_profile_load(&read, path), 0);
	assert_string_equal(fsmoe_profile_note_at(read, 0, &of), "8");
	assert_string_equal(of, "ranks");
	assert_string_equal(fsmoe_profile_note_at(read, 1, &of), "a \"day\"\n");
	assert_null(fsmoe_profile_note_at(read, 2, &of));
	assert_int_equal(fsmoe_profile_get(read, FSMOE_KIND_GEMM, FSMOE_COMPUTE, &back), 0);
	assert_true(back.sharing == 1.5 && back.alpha == 1e-6);

	memset(text, 'x', sizeof(text));
	text[FSMOE_PROFILE_TEXT] = '\0';
	assert_fails(fsmoe_profile_note(p, "long", text), EINVAL, "at most");
	for (int i = 2; i < 16; i++)
	{
		snprintf(key, sizeof(key), "key %d", i);
		assert_int_equal(fsmoe_profile_note(p, key, "x"), 0);
	}
	assert_fails(fsmoe_profile_note(p, "one more", "x"), EINVAL, "no room");
	fsmoe_profile_destroy(read);
	fsmoe_profile_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_found_through_noise_and_outliers),
		cmocka_unit_test(the_order_of_measurements_does_not_matter),
		cmocka_unit_test(a_mix_is_in_the_middle),
		cmocka_unit_test(a_line_never_falls_or_starts_below_nothing),
		cmocka_unit_test(what_is_saved_is_what_is_read),
		cmocka_unit_test(units_are_converted_where_they_are_read),
		cmocka_unit_test(wrong_profiles_say_what_is_wrong),
		cmocka_unit_test(plans_are_read_as_they_were_saved),
		cmocka_unit_test(wrong_plans_say_what_is_wrong),
		cmocka_unit_test(plans_that_do_not_fit_are_not_predicted),
		cmocka_unit_test(a_profile_says_where_it_comes_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
