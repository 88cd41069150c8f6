/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/base/unit.h"

#include "checkpoint/resume.h"
#include "config/config.h"

#include <math.h>

/* Up to four arguments after the command's name. */
static int load(struct fsmoe_train_config *config, const char *a, const char *b, const char *c,
		const char *d)
{
	static char *argv[6];
	int argc = 1;

	argv[0] = (char *)"train";
	argv[1] = (char *)a;
	argv[2] = (char *)b;
	argv[3] = (char *)c;
	argv[4] = (char *)d;
	while (argv[argc])
		argc++;
	return fsmoe_train_config_load(config, argc, argv, fsmoe_resume_config);
}

/* "--config=PATH" of a file with this text; static, the file stays until the next one. */
static const char *config_file(const char *text)
{
	static char option[600];
	const char *path = test_path("run.json");

	test_write(path, text, strlen(text));
	snprintf(option, sizeof(option), "--config=%s", path);
	return option;
}

static void flags_before_file_before_preset(void **state)
{
	struct fsmoe_train_config config, preset;

	(void)state;
	assert_int_equal(fsmoe_train_config_init(&preset, "quickstart"), 0);
	assert_int_equal(load(&config, "--layers=7", "--preset=quickstart",
			      config_file("{\"layers\": 5, \"heads\": 2, \"data\": \"x\", "
					  "\"preset\": \"tiny\", \"seed\": 3}"),
			      "--quiet"),
			 0);
	assert_int_equal(config.model.layers, 7);
	assert_int_equal(config.model.heads, 2);
	assert_int_equal(config.model.hidden_size, preset.model.hidden_size);
	assert_int_equal(config.model.seq_length, preset.model.seq_length);
	assert_int_equal(config.train.seq_length, preset.model.seq_length);
	assert_int_equal(config.train.seed, 3);
	assert_int_equal(config.quiet, 1);
	assert_string_equal(config.data, "x");
	assert_string_equal(config.preset, "quickstart");
	fsmoe_train_config_free(&config);

	/* A preset named in the file is the base too. */
	assert_int_equal(load(&config,
			      config_file("{\"data\": \"x\", \"preset\": "
					  "\"quickstart\"}"),
			      "--seq-length=12", NULL, NULL),
			 0);
	assert_int_equal(config.model.hidden_size, preset.model.hidden_size);
	assert_int_equal(config.train.seq_length, 12);
	fsmoe_train_config_free(&config);
	unlink(test_path("run.json"));
}

/* Sets an option under a name in a configuration that is otherwise zero. */
static void set_alone(struct fsmoe_train_config *config, const struct fsmoe_option *option,
		      const char *name)
{
	char flag[64], *argv[] = {(char *)"train", flag, (char *)"0.5"};
	const int is_flag = option->type == FSMOE_OPTION_FLAG;

	if (option->choices)
		argv[2] = (char *)option->choices[0];
	else if (option->type != FSMOE_OPTION_REAL)
		argv[2] = (char *)"3";
	snprintf(flag, sizeof(flag), "--%s", name);
	memset(config, 0, sizeof(*config));
	assert_int_equal(fsmoe_options_parse(fsmoe_train_options, is_flag ? 2 : 3, argv, config),
			 0);
}

static void old_names_set_the_same_field(void **state)
{
	static const struct fsmoe_train_config zero;
	struct fsmoe_train_config by_new, by_old;
	int names = 0;

	(void)state;
	for (const struct fsmoe_option *o = fsmoe_train_options; o->type != FSMOE_OPTION_END; o++)
		for (const char *const *old = o->old; old && *old; old++, names++)
		{
			set_alone(&by_new, o, o->name);
			set_alone(&by_old, o, *old);
			assert_memory_equal(&by_new, &by_old, sizeof(by_new));
			assert_memory_not_equal(&by_new, &zero, sizeof(zero));
			/* Keys of JSON are found by the same function. */
			assert_ptr_equal(fsmoe_option_find(fsmoe_train_options, *old), o);
		}
	assert_true(names >= 26);
}

static void every_key_of_the_table_is_read_from_json(void **state)
{
	const struct fsmoe_option *option = fsmoe_train_options;

	(void)state;
	for (; option->type != FSMOE_OPTION_END; option++)
	{
		struct fsmoe_train_config config;
		struct fsmoe_json json;
		char text[128], key[64];
		int err;

		if (option->type == FSMOE_OPTION_HEADING || option->type == FSMOE_OPTION_REFUSED ||
		    option->flags & FSMOE_OPTION_NOT_JSON)
			continue;
		snprintf(key, sizeof(key), "%s", option->name);
		for (char *c = key; *c; c++)
			*c = *c == '-' ? '_' : *c;
		/* The type is wrong for every row: the sentence proves that the row was found. */
		snprintf(text, sizeof(text), "{\"%s\": []}", key);
		test_write(test_path("key.json"), text, strlen(text));
		assert_int_equal(fsmoe_json_load(&json, test_path("key.json")), 0);
		err = fsmoe_options_json(fsmoe_train_options, &json, &config);
		snprintf(text, sizeof(text), "\"%s\" is []: it must be", key);
		assert_fails(err, EINVAL, text);
		fsmoe_json_free(&json);
	}
	unlink(test_path("key.json"));
}

static void names_are_unique_and_documented(void **state)
{
	(void)state;
	for (const struct fsmoe_option *a = fsmoe_train_options; a->type != FSMOE_OPTION_END; a++)
	{
		assert_non_null(a->help);
		if (a->type == FSMOE_OPTION_HEADING || a->type == FSMOE_OPTION_REFUSED)
			continue;
		assert_ptr_equal(fsmoe_option_find(fsmoe_train_options, a->name), a);
		assert_true(a->offset < sizeof(struct fsmoe_train_config));
		for (const struct fsmoe_option *b = fsmoe_train_options; b != a; b++)
		{
			if (b->type == FSMOE_OPTION_HEADING || b->type == FSMOE_OPTION_REFUSED)
				continue;
			assert_string_not_equal(a->name, b->name);
			assert_int_not_equal(a->offset, b->offset);
		}
	}
}

static void sizes_that_do_not_fit(void **state)
{
	struct fsmoe_train_config config;

	(void)state;
	assert_fails(load(&config, NULL, NULL, NULL, NULL), EINVAL, "give --data=PATH");
	assert_fails(load(&config, "--data=x", "--global-batch=6", "--micro-batches=4", NULL),
		     EINVAL, "a batch of 6 sequences cannot be cut into 4");
	assert_fails(
		load(&config, "--data=x", "--global-batch=16777216", "--seq-length=16777216", NULL),
		EINVAL, "more than 2^31 tokens");
	assert_fails(load(&config, "--data=x", "--hidden-size=10", "--heads=3", NULL), EINVAL,
		     "heads");
	assert_fails(load(&config, "--data=x", "--top-k=9", "--experts=8", NULL), EINVAL, "top-k");
	assert_fails(load(&config, "--data=x", "--layers=0", NULL, NULL), EINVAL, "1 to 10000");
	assert_fails(load(&config, "--data=x", config_file("{\"hidden\": 64}"), NULL, NULL), EINVAL,
		     "or --ffn-size for an expert's");
	assert_fails(load(&config, "--preset=tyni", NULL, NULL, NULL), ENOENT, "tiny");
	assert_fails(load(&config, config_file("{\"preset\": 3}"), NULL, NULL, NULL), EINVAL,
		     "\"preset\" is 3");
	assert_fails(load(&config, "--config=/no/such.json", NULL, NULL, NULL), ENOENT,
		     "/no/such.json");
	assert_int_equal(load(&config, "--help", NULL, NULL, NULL), FSMOE_OPTIONS_HELP);
	unlink(test_path("run.json"));
}

static void chunks_that_a_device_does_not_take(void **state)
{
	static const char *const degrees[] = {"--forward-degree=65", "--backward-degree=65",
					      "--max-degree=65"};
	struct fsmoe_train_config config;

	(void)state;
	for (int i = 0; i < 3; i++)
	{
		assert_fails(load(&config, "--data=x", "--device=cuda", degrees[i], NULL), EINVAL,
			     "-degree: 65 chunks of a layer are more than the 64 that the device "
			     "'cuda' takes");
		assert_int_equal(load(&config, "--data=x", degrees[i], NULL, NULL), 0);
		fsmoe_train_config_free(&config);
	}
	assert_int_equal(load(&config, "--data=x", "--device=cuda", "--forward-degree=64", NULL),
			 0);
	fsmoe_train_config_free(&config);
}

static void learning_rate_warms_up_and_falls(void **state)
{
	struct fsmoe_train_config config = {
		.lr = 0.8, .warmup_steps = 4, .steps = 104, .min_lr_ratio = 0.1};

	(void)state;
	assert_true(fabs(fsmoe_train_config_lr(&config, 1) - 0.2) < 1e-15);
	assert_true(fabs(fsmoe_train_config_lr(&config, 3) - 0.6) < 1e-15);
	assert_true(fsmoe_train_config_lr(&config, 4) == 0.8);
	/* In the middle and at the end of the cosine. */
	assert_true(fabs(fsmoe_train_config_lr(&config, 54) - 0.8 * 0.55) < 1e-12);
	assert_true(fabs(fsmoe_train_config_lr(&config, 104) - 0.08) < 1e-12);
	for (int step = 4; step < 104; step++)
		assert_true(fsmoe_train_config_lr(&config, step) >
			    fsmoe_train_config_lr(&config, step + 1));
	config.min_lr_ratio = 1;
	assert_true(fsmoe_train_config_lr(&config, 4) == 0.8);
	assert_true(fsmoe_train_config_lr(&config, 104) == 0.8);
	config.warmup_steps = 0;
	assert_true(fsmoe_train_config_lr(&config, 1) == 0.8);
}

static void checkpoints_need_a_place(void **state)
{
	struct fsmoe_train_config config;

	(void)state;
	assert_fails(load(&config, "--data=x", "--checkpoint-every=5", NULL, NULL), EINVAL,
		     "give --checkpoint=DIR");
	assert_fails(load(&config, "--data=x", "--resume=latest", NULL, NULL), EINVAL,
		     "--checkpoint=DIR, which is not given");
	assert_fails(load(&config, "--data=x", "--on-nan=jump", NULL, NULL), EINVAL,
		     "one of stop and skip");
	assert_int_equal(load(&config, "--data=x", "--checkpoint-every=5", "--checkpoint=y",
			      "--data-format=llmc"),
			 0);
	assert_int_equal(fsmoe_train_config_format(&config), FSMOE_DATA_LLMC);
	fsmoe_train_config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_before_file_before_preset),
		cmocka_unit_test(old_names_set_the_same_field),
		cmocka_unit_test(every_key_of_the_table_is_read_from_json),
		cmocka_unit_test(names_are_unique_and_documented),
		cmocka_unit_test(sizes_that_do_not_fit),
		cmocka_unit_test(chunks_that_a_device_does_not_take),
		cmocka_unit_test(learning_rate_warms_up_and_falls),
		cmocka_unit_test(checkpoints_need_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
