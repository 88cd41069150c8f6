/* SPDX-License-Identifier: Apache-2.0 */
/* The table of schedules and rows of one's own. */
#include "plancase.h"

static void the_rows_are_consistent_and_found(void **state)
{
	static const char *const names[] = {"ds-moe",       "tutel",        "tutel-improved",
					    "pipemoe-lina", "fsmoe-no-iio", "fsmoe",
					    "default"};
	int n = 0;

	(void)state;
	for (; fsmoe_schedule_at(n); n++)
	{
		assert_int_equal(fsmoe_schedule_check(fsmoe_schedule_at(n)), 0);
		assert_string_equal(fsmoe_schedule_at(n)->name, names[n]);
		assert_ptr_equal(fsmoe_schedule_find(names[n]), fsmoe_schedule_at(n));
		assert_true(*fsmoe_schedule_at(n)->doc);
	}
	assert_int_equal(n, FSMOE_PUBLISHED_SCHEDULES + 1);
	assert_ptr_equal(fsmoe_schedule_default(), fsmoe_schedule_find("default"));
	assert_null(fsmoe_schedule_find("tutle"));
	assert_non_null(strstr(fsmoe_last_error(), "did you mean 'tutel'?"));
}

static int load(const char *text, struct fsmoe_schedule *row)
{
	const char *path = test_path("row.json");
	int err;

	test_write(path, text, strlen(text));
	err = fsmoe_schedule_load(row, path);
	unlink(path);
	return err;
}

static void a_row_is_read_from_a_file(void **state)
{
	struct fsmoe_schedule row;

	(void)state;
	assert_int_equal(load("{\"name\": \"mine\", \"weight_gradients\": \"deferred\"}", &row), 0);
	assert_string_equal(row.name, "mine");
	assert_true(row.weight_gradients == FSMOE_WEIGHT_GRADIENTS_DEFERRED &&
		    row.gather_lane == FSMOE_INTRA && row.gradients == FSMOE_GRADIENTS_ADAPTIVE &&
		    row.forward_degree == FSMOE_DEGREE_BEST);
	assert_int_equal(load("{\"name\": \"pieces\", \"gradients\": \"fixed\", "
			      "\"gradient_bytes\": 1e6, \"gather_lane\": \"inter\"}",
			      &row),
			 0);
	assert_true(row.gradient_bytes == 1e6);
	/* A column of older files, which has no effect. */
	assert_int_equal(load("{\"name\": \"old\", \"overlap_experts\": false}", &row), 0);
	assert_int_equal(load("{\"name\": \"old\", \"overlap_experts\": true}", &row), 0);
}

static void a_wrong_row_names_its_column(void **state)
{
	struct fsmoe_schedule row;

	(void)state;
	assert_fails(load("{}", &row), EINVAL, "name is empty");
	assert_fails(load("{\"name\": \"x\", \"gradients\": \"fixed\"}", &row), EINVAL,
		     "row.json: schedule 'x': gradient_bytes must be 4 or more");
	assert_fails(load("{\"name\": \"x\", \"gradient_bytes\": 8}", &row), EINVAL,
		     "gradient_bytes is only for");
	assert_fails(load("{\"name\": \"x\", \"forward_degree\": \"shared\"}", &row), EINVAL,
		     "must be one of one and best");
	assert_fails(load("{\"name\": \"x\", \"alltoall_lane\": \"compute\"}", &row), EINVAL,
		     "alltoall_lane must be");
	assert_fails(load("{\"name\": \"x\", \"gradient\": \"fixed\"}", &row), EINVAL,
		     "did you mean \"gradients\"?");
	assert_fails(load("{\"name\": \"x\", \"gradients\": \"never\"}", &row), EINVAL,
		     "must be one of at-end, beside-dense, fixed and adaptive");
	assert_fails(load("{", &row), EPROTO, "not JSON");
	assert_fails(fsmoe_schedule_load(&row, test_path("absent")), ENOENT, "absent");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_consistent_and_found),
		cmocka_unit_test(a_row_is_read_from_a_file),
		cmocka_unit_test(a_wrong_row_names_its_column),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
