/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/base/unit.h"

#include "base/file.h"
#include "base/log.h"
#include "train/metrics.h"

#include <jansson.h>
#include <math.h>
#include <sys/stat.h>

static const struct fsmoe_metrics_row rows[] = {
	{1, 1e-3, {5.0 / 3, 0.1, 0.25, 1000}},
	{2, 1e-3, {NAN, INFINITY, 0, 1000}},
	{3,
	 1e-3,
	 {2, 1, 0.5, 100},
	 {.routed = 400,
	  .dropped = 5,
	  .load_min = 2,
	  .load_mean = 25,
	  .load_max = 50,
	  .entropy = 0.75,
	  .rank_load = (const double[]){195, 200},
	  .ranks = 2,
	  .expert_load = (const double[]){95, 100, 150, 50},
	  .layers = 2,
	  .experts = 2}},
};

static void a_json_object_a_step(void **state)
{
	const char *path = test_path("metrics.jsonl");
	struct fsmoe_metrics *metrics;
	char *text, *second, *third;
	json_t *object;

	(void)state;
	assert_int_equal(fsmoe_metrics_open(&metrics, path, 0), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fsmoe_metrics_write(metrics, &rows[i]), 0);
	/* Read before it is closed: every line is out as soon as it is written. */
	assert_int_equal(fsmoe_file_read(path, &text, NULL), 0);
	second = strchr(text, '\n');
	assert_non_null(second);
	*second++ = '\0';
	third = strchr(second, '\n');
	assert_non_null(third);
	*third++ = '\0';
	object = json_loads(text, 0, NULL);
	assert_non_null(object);
	assert_int_equal(json_integer_value(json_object_get(object, "step")), 1);
	assert_true(json_real_value(json_object_get(object, "loss")) == 5.0 / 3);
	assert_true(json_real_value(json_object_get(object, "lr")) == 1e-3);
	assert_true(json_real_value(json_object_get(object, "grad_norm")) == 0.1);
	assert_true(json_number_value(json_object_get(object, "tokens_per_s")) == 4000);
	assert_true(json_number_value(json_object_get(object, "ms")) == 250);
	assert_int_equal(json_integer_value(json_object_get(object, "tokens")), 1000);
	json_decref(object);
	object = json_loads(second, 0, NULL);
	assert_non_null(object);
	assert_true(json_is_null(json_object_get(object, "loss")));
	assert_true(json_is_null(json_object_get(object, "grad_norm")));
	json_decref(object);
	assert_non_null(strstr(third, "\"entropy\": 0.7500, \"rank_load\": [195, 200], "
				      "\"expert_load\": [[95, 100], [150, 50]]}\n"));
	free(text);
	assert_int_equal(fsmoe_metrics_close(metrics), 0);
	assert_int_equal(fsmoe_metrics_close(NULL), 0);

	/* A run that goes on appends. */
	assert_int_equal(fsmoe_metrics_open(&metrics, path, 1), 0);
	assert_int_equal(
		fsmoe_metrics_write_val(metrics, 2, &(struct fsmoe_eval_result){1.25, 640, 0.5}),
		0);
	assert_int_equal(fsmoe_metrics_close(metrics), 0);
	assert_int_equal(fsmoe_file_read(path, &text, NULL), 0);
	assert_non_null(strstr(text, "{\"step\": 1, "));
	assert_non_null(strstr(text, "{\"step\": 2, \"val_loss\": 1.25, \"val_tokens\": 640, "
				     "\"val_ms\": 500.000}\n"));
	free(text);
	unlink(path);
}

static void metrics_that_cannot_be_written(void **state)
{
	struct fsmoe_metrics *metrics;

	(void)state;
	assert_fails(fsmoe_metrics_open(&metrics, "/no/such/folder/metrics.jsonl", 0), ENOENT,
		     "cannot write the metrics /no/such/folder/metrics.jsonl");
	/* A full disk. */
	assert_int_equal(fsmoe_metrics_open(&metrics, "/dev/full", 0), 0);
	assert_fails(fsmoe_metrics_write(metrics, &rows[0]), ENOSPC, "/dev/full");
	fsmoe_metrics_close(metrics);
}

static void the_line_for_people(void **state)
{
	char line[200];

	(void)state;
	assert_string_equal(
		fsmoe_metrics_line(&rows[0], 100, line, sizeof(line)),
		"step   1/100  loss 1.6667  lr 0.001  grad 0.1  4000 tokens/s  250.0 ms");
	assert_string_equal(fsmoe_metrics_line(&rows[2], 9, line, sizeof(line)),
			    "step 3/9  loss 2.0000  lr 0.001  grad 1  200 tokens/s  500.0 ms  "
			    "dropped 1.2%  load 2 25 50  even 0.75");
}

static void how_even_loads_are(void **state)
{
	static const double even[] = {3, 3, 3, 3}, one[] = {0, 7, 0}, half[] = {5, 0, 5, 0};

	(void)state;
	assert_float_equal(fsmoe_load_entropy(even, 4), 1, 1e-15);
	assert_true(fsmoe_load_entropy(one, 3) == 0);
	assert_float_equal(fsmoe_load_entropy(half, 4), 0.5, 1e-15);
	assert_float_equal(fsmoe_load_entropy(half, 2), 0, 1e-15); /* 5, 0 */
	assert_true(fsmoe_load_entropy(one, 1) == 0);              /* no token */
	assert_true(fsmoe_load_entropy(even, 1) == 1);             /* one expert */
}

static void directories(void **state)
{
	char deep[600], file[600];
	const char *top = test_path("made");

	(void)state;
	snprintf(deep, sizeof(deep), "%s/a/b/", top);
	assert_int_equal(fsmoe_file_mkdir(deep), 0);
	assert_int_equal(fsmoe_file_mkdir(deep), 0);
	snprintf(file, sizeof(file), "%s/file", top);
	test_write(file, "x", 1);
	assert_fails(fsmoe_file_mkdir(file), ENOTDIR, "cannot make the directory");
	unlink(file);
	rmdir(deep);
	snprintf(deep, sizeof(deep), "%s/a", top);
	rmdir(deep);
	assert_int_equal(rmdir(top), 0);
}

static void the_log_file(void **state)
{
	const char *path = test_path("log");
	char *text;

	(void)state;
	fsmoe_log(FSMOE_LOG_INFO, "nobody hears this");
	assert_int_equal(fsmoe_log_open(path, 0), 0);
	fsmoe_log(FSMOE_LOG_INFO, "line %d", 1);
	fsmoe_log(FSMOE_LOG_DEBUG, "too much");
	assert_int_equal(fsmoe_file_read(path, &text, NULL), 0);
	assert_non_null(strstr(text, "  line 1\n"));
	assert_null(strstr(text, "nobody"));
	assert_null(strstr(text, "too much"));
	free(text);
	fsmoe_log_close();
	unlink(path);
	assert_fails(fsmoe_log_open("/no/such/folder/log", 0), ENOENT, "cannot write the log");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_json_object_a_step),
		cmocka_unit_test(the_line_for_people),
		cmocka_unit_test(how_even_loads_are),
		cmocka_unit_test(metrics_that_cannot_be_written),
		cmocka_unit_test(directories),
		cmocka_unit_test(the_log_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
