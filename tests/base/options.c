/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/suggest.h"
#include "base/options.h"

#include <math.h>

struct target
{
	int steps, quiet;
	uint64_t seed;
	double rate;
	const char *data, *kind, *file;
};

static const char *const kinds[] = {"adamw", "sgd", NULL};
static const char *const old_steps[] = {"iterations", "train-iters", NULL};

/* clang-format off */
static const struct fsmoe_option table[] = {
	{.type = FSMOE_OPTION_HEADING, .help = "First"},
	{.type = FSMOE_OPTION_INT, .name = "steps", .offset = offsetof(struct target, steps),
	 .metavar = "N", .help = "Steps to take", .min = 1, .max = 100, .old = old_steps},
	{.type = FSMOE_OPTION_REFUSED, .name = "size", .help = "may mean two things"},
	{.type = FSMOE_OPTION_U64, .name = "seed", .offset = offsetof(struct target, seed),
	 .metavar = "N", .help = "Seed"},
	{.type = FSMOE_OPTION_REAL, .name = "learning-rate",
	 .offset = offsetof(struct target, rate), .metavar = "X", .help = "Rate", .max = 1},
	{.type = FSMOE_OPTION_HEADING, .help = "Second"},
	{.type = FSMOE_OPTION_STRING, .name = "data", .offset = offsetof(struct target, data),
	 .metavar = "PATH", .help = "Text", .flags = FSMOE_OPTION_COMMON},
	{.type = FSMOE_OPTION_STRING, .name = "kind", .offset = offsetof(struct target, kind),
	 .metavar = "NAME", .help = "Kind", .choices = kinds},
	{.type = FSMOE_OPTION_STRING, .name = "file", .offset = offsetof(struct target, file),
	 .metavar = "FILE", .help = "File", .flags = FSMOE_OPTION_NOT_JSON},
	{.type = FSMOE_OPTION_FLAG, .name = "quiet", .offset = offsetof(struct target, quiet),
	 .help = "Say nothing"},
	{.type = FSMOE_OPTION_END},
};
/* clang-format on */

/* Up to three arguments after the command's name. */
static int parse(struct target *target, const char *a, const char *b, const char *c)
{
	char *argv[] = {(char *)"train", (char *)a, (char *)b, (char *)c, NULL};
	int argc = 1;

	while (argv[argc])
		argc++;
	return fsmoe_options_parse(table, argc, argv, target);
}

static void command_line_sets_every_type(void **state)
{
	struct target target = {.quiet = 1};

	(void)state;
	assert_int_equal(parse(&target, "--steps=7", "--seed", "18446744073709551615"), 0);
	assert_int_equal(target.steps, 7);
	assert_true(target.seed == UINT64_MAX);
	assert_int_equal(parse(&target, "--learning-rate=1e-3", "--data", "--a b"), 0);
	assert_true(target.rate == 1e-3);
	assert_string_equal(target.data, "--a b");
	assert_int_equal(parse(&target, "--quiet=no", "--kind=sgd", NULL), 0);
	assert_int_equal(target.quiet, 0);
	assert_string_equal(target.kind, "sgd");
	assert_int_equal(parse(&target, "--quiet", "--steps=1", "--steps=2"), 0);
	assert_int_equal(target.quiet, 1);
	assert_int_equal(target.steps, 2);
	assert_int_equal(parse(&target, "--iterations=5", "--train-iters", "6"), 0);
	assert_int_equal(target.steps, 6);
	assert_int_equal(parse(&target, "--learn=0.5", NULL, NULL), 0); /* an unambiguous prefix */
	assert_true(target.rate == 0.5);
	assert_int_equal(parse(&target, NULL, NULL, NULL), 0);
}

/* A command with a table of its own that takes two rows of the table above. */
struct other
{
	int own;
	struct target taken;
};

static void rows_of_another_table(void **state)
{
	static const struct fsmoe_option own[] = {
		{.type = FSMOE_OPTION_INT, .name = "own", .metavar = "N", .help = "Its own"},
		{.type = FSMOE_OPTION_ROWS,
		 .name = "kind steps",
		 .offset = offsetof(struct other, taken),
		 .from = table},
		{.type = FSMOE_OPTION_END},
	};
	static const struct fsmoe_option wrong[] = {
		{.type = FSMOE_OPTION_ROWS, .name = "step", .from = table},
		{.type = FSMOE_OPTION_END},
	};
	char *argv[] = {(char *)"other", (char *)"--own=1", (char *)"--steps=2",
			(char *)"--kind=sgd", NULL};
	struct other other = {0};
	struct fsmoe_option *flat;

	(void)state;
	assert_int_equal(fsmoe_options_parse(own, 4, argv, &other), 0);
	assert_int_equal(other.own, 1);
	assert_int_equal(other.taken.steps, 2);
	assert_string_equal(other.taken.kind, "sgd");
	argv[2] = (char *)"--steps=101";
	assert_fails(fsmoe_options_parse(own, 4, argv, &other), EINVAL, "1 to 100");
	argv[2] = (char *)"--quiet";
	assert_fails(fsmoe_options_parse(own, 4, argv, &other), EINVAL, "unknown option --quiet");
	assert_int_equal(fsmoe_options_flat(&flat, own), 0);
	assert_string_equal(flat[1].help, "Kind");
	assert_string_equal(flat[2].help, "Steps to take");
	assert_int_equal(flat[3].type, FSMOE_OPTION_END);
	free(flat);
	assert_fails(fsmoe_options_parse(wrong, 1, argv, &other), EINVAL,
		     "there is no option 'step' to take");
}

static void command_line_errors(void **state)
{
	struct target target = {.steps = 5};

	(void)state;
	assert_fails(parse(&target, "--stesp=3", NULL, NULL), EINVAL,
		     "unknown option --stesp; did you mean --steps?");
	assert_fails(parse(&target, "--quiet", "--learning_rate=1", NULL), EINVAL,
		     "did you mean --learning-rate?");
	assert_fails(parse(&target, "--iteratoins=3", NULL, NULL), EINVAL,
		     "unknown option --iteratoins; did you mean --steps?");
	assert_fails(parse(&target, "--iterations=0", NULL, NULL), EINVAL, "--steps is 0");
	assert_fails(parse(&target, "--train-iters", NULL, NULL), EINVAL, "--steps needs a value");
	assert_fails(parse(&target, "--size", NULL, NULL), EINVAL, "--size may mean two things");
	assert_fails(parse(&target, "--size=3", NULL, NULL), EINVAL, "--size may mean two things");
	assert_fails(parse(&target, "--xyzzy", NULL, NULL), EINVAL, "--help lists");
	assert_fails(parse(&target, "--help=3", NULL, NULL), EINVAL,
		     "--help is '3': it takes no value but 'all'");
	assert_fails(parse(&target, "-x", NULL, NULL), EINVAL, "unknown option -x");
	assert_fails(parse(&target, "--steps", NULL, NULL), EINVAL, "--steps needs a value");
	assert_fails(parse(&target, "--steps=0", NULL, NULL), EINVAL,
		     "--steps is 0: it must be a whole number, 1 to 100");
	assert_fails(parse(&target, "--steps=101", NULL, NULL), EINVAL, "1 to 100");
	assert_fails(parse(&target, "--steps=3.5", NULL, NULL), EINVAL, "a whole number");
	assert_fails(parse(&target, "--steps=", NULL, NULL), EINVAL, "a whole number");
	assert_fails(parse(&target, "--steps=99999999999999999999", NULL, NULL), EINVAL, "1 to");
	assert_fails(parse(&target, "--seed=-1", NULL, NULL), EINVAL, "2^64");
	assert_fails(parse(&target, "--learning-rate=nan", NULL, NULL), EINVAL, "0 to 1");
	assert_fails(parse(&target, "--learning-rate=1.1", NULL, NULL), EINVAL, "0 to 1");
	assert_fails(parse(&target, "--learning-rate=x", NULL, NULL), EINVAL, "a number");
	assert_fails(parse(&target, "--kind=adam", NULL, NULL), EINVAL,
		     "--kind is 'adam': it must be one of adamw and sgd; did you mean 'adamw'?");
	assert_fails(parse(&target, "--quiet=maybe", NULL, NULL), EINVAL, "yes or no");
	assert_fails(parse(&target, "extra", NULL, NULL), EINVAL, "'extra' is not an option");
	assert_int_equal(target.steps, 5);
	assert_int_equal(parse(&target, "--help", "--nonsense", NULL), FSMOE_OPTIONS_HELP);
	assert_int_equal(parse(&target, "-?", NULL, NULL), FSMOE_OPTIONS_HELP);
	assert_int_equal(parse(&target, "--help", "all", NULL), FSMOE_OPTIONS_HELP_ALL);
	assert_int_equal(parse(&target, "--help=all", NULL, NULL), FSMOE_OPTIONS_HELP_ALL);
}

/* Loads a JSON text and sets the target from it. */
static int from_json(struct target *target, struct fsmoe_json *json, const char *text)
{
	const char *path = test_path("options.json");
	int err;

	memset(json, 0, sizeof(*json));
	test_write(path, text, strlen(text));
	err = fsmoe_json_load(json, path);
	unlink(path);
	return err ? err : fsmoe_options_json(table, json, target);
}

static void json_sets_every_type(void **state)
{
	struct target target = {0};
	struct fsmoe_json json;

	(void)state;
	assert_int_equal(from_json(&target, &json,
				   "{\"steps\": 9, \"seed\": 5, \"learning_rate\": 1,\n"
				   " \"data\": \"x\", \"kind\": \"adamw\", \"quiet\": true}"),
			 0);
	assert_int_equal(target.steps, 9);
	assert_int_equal(target.seed, 5);
	assert_true(target.rate == 1);
	assert_string_equal(target.data, "x");
	assert_int_equal(target.quiet, 1);
	fsmoe_json_free(&json);
	assert_int_equal(from_json(&target, &json, "{\"learning-rate\": 0.25}"), 0);
	assert_true(target.rate == 0.25);
	fsmoe_json_free(&json);
	assert_int_equal(from_json(&target, &json, "{\"train_iters\": 8}"), 0);
	assert_int_equal(target.steps, 8);
	fsmoe_json_free(&json);
}

static void json_errors(void **state)
{
	static const struct
	{
		const char *text;
		int err;
		const char *part;
	} cases[] = {
		{"{\"steps\": 3,\n\n \"stesp\": 3}", EINVAL,
		 "options.json:3: unknown key \"stesp\"; did you mean \"steps\"?"},
		{"{\"xyzzy\": 3}", EINVAL, "\"xyzzy\": there are steps, seed, "},
		{"{\"learningrate\": 3}", EINVAL, "did you mean \"learning_rate\"?"},
		{"{\"file\": \"x\"}", EINVAL, ":1: unknown key \"file\""},
		{"{\"train_itesr\": 3}", EINVAL, "did you mean \"steps\"?"},
		{"{\"steps\": 3,\n\"iterations\": 4}", EINVAL,
		 "options.json:2: \"iterations\" and \"steps\" are one option"},
		{"{\"size\": 3}", EINVAL, "options.json:1: \"size\" may mean two things"},
		{"{\n\"steps\": 0}", EINVAL,
		 ":2: \"steps\" is 0: it must be a whole number, 1 to 100"},
		{"{\"steps\": \"3\"}", EINVAL, "is \"3\": it must be a whole number"},
		{"{\"steps\": 3.0}", EINVAL, "a whole number"},
		{"{\"steps\": 4294967297}", EINVAL, "a whole number"},
		{"{\"seed\": -1}", EINVAL, "a whole number"},
		{"{\"learning_rate\": 2}", EINVAL, "0 to 1"},
		{"{\"data\": 3}", EINVAL, "a string"},
		{"{\"kind\": \"sdg\"}", EINVAL, "did you mean 'sgd'?"},
		{"{\"quiet\": 1}", EINVAL, "true or false"},
		{"[1]", EINVAL, "an object"},
		{"{\"steps\": 3,\n\"steps\": 4}", EPROTO, "options.json:2: not JSON: duplicate"},
		{"{\"steps\":\n 3,}", EPROTO, "options.json:2: not JSON"},
		{"", EPROTO, "not JSON"},
	};
	struct target target = {0};
	struct fsmoe_json json;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		assert_fails(from_json(&target, &json, cases[i].text), cases[i].err, cases[i].part);
		fsmoe_json_free(&json);
	}
	assert_fails(fsmoe_json_load(&json, test_path("absent")), ENOENT, "cannot read");
	assert_fails(fsmoe_json_load(&json, "/"), EISDIR, "cannot read /");
}

/* Returns the text that a function writes to a FILE. */
static char *captured(int (*write)(FILE *file))
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	assert_int_equal(write(file), 0);
	fclose(file);
	return text;
}

static const struct target defaults = {.steps = 3, .rate = 0.1, .data = "text", .quiet = 1};

static int write_help(FILE *file)
{
	return fsmoe_options_help(table, "fsmoe train", "Trains.", &defaults, 1, file);
}

static int write_common_help(FILE *file)
{
	return fsmoe_options_help(table, "fsmoe train", "Trains.", &defaults, 0, file);
}

static int write_man(FILE *file)
{
	return fsmoe_options_man(table, &defaults, file);
}

static void help_and_man_show_the_table(void **state)
{
	static const char *const help[] = {"Usage: fsmoe train",
					   "Trains.",
					   "First:",
					   "Second:",
					   "--steps=N",
					   "Steps to take (1 to 100; default 3)",
					   "Rate (0 to 1; default 0.1)",
					   "Text (default text)",
					   "--quiet[=yes|no]",
					   "Say nothing (default yes)",
					   "--help"};
	static const char *const common[] = {"Second:", "Text (default text)", "--help[=all]",
					     "with 6 more options"};
	static const char *const unlisted[] = {"First:", "--steps", "--quiet"};
	static const char *const never[] = {"iterations", "train-iters", "two things"};
	static const char *const man[] = {".SS \"First\"",
					  "\\fB\\-\\-learning\\-rate\\fR=\\fIX\\fR",
					  "Steps to take (1 to 100; default 3)"};
	char *text = captured(write_help);

	(void)state;
	for (size_t i = 0; i < sizeof(help) / sizeof(help[0]); i++)
		if (!strstr(text, help[i]))
			fail_msg("'%s' is not in the help: %s", help[i], text);
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_null(strstr(text, never[i]));
	free(text);
	text = captured(write_common_help);
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		if (!strstr(text, common[i]))
			fail_msg("'%s' is not in the help: %s", common[i], text);
	for (size_t i = 0; i < sizeof(unlisted) / sizeof(unlisted[0]); i++)
		assert_null(strstr(text, unlisted[i]));
	free(text);
	text = captured(write_man);
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_null(strstr(text, never[i]));
	for (size_t i = 0; i < sizeof(man) / sizeof(man[0]); i++)
		if (!strstr(text, man[i]))
			fail_msg("'%s' is not in the page: %s", man[i], text);
	free(text);
}

static void edit_distance(void **state)
{
	char longer[200];

	(void)state;
	assert_int_equal(fsmoe_edit_distance("", ""), 0);
	assert_int_equal(fsmoe_edit_distance("", "abc"), 3);
	assert_int_equal(fsmoe_edit_distance("abc", ""), 3);
	assert_int_equal(fsmoe_edit_distance("kitten", "sitting"), 3);
	assert_int_equal(fsmoe_edit_distance("steps", "stesp"), 1);
	assert_int_equal(fsmoe_edit_distance("Hidden_Size", "hidden-size"), 0);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(fsmoe_edit_distance(longer, longer), 0);
	assert_int_equal(fsmoe_edit_distance(longer, ""), 63);
}

static void nearest_name(void **state)
{
	static const char *const names[] = {"nodes", "", "steps", "micro-batches", "tp", NULL};
	char buffer[64], small[16];

	(void)state;
	assert_string_equal(fsmoe_suggest("node", fsmoe_name_at, names), "nodes");
	assert_string_equal(fsmoe_suggest("micro", fsmoe_name_at, names), "micro-batches");
	assert_string_equal(fsmoe_suggest("setps", fsmoe_name_at, names), "steps");
	assert_string_equal(fsmoe_suggest("np", fsmoe_name_at, names), "tp");
	assert_null(fsmoe_suggest("zzz", fsmoe_name_at, names));
	assert_null(fsmoe_suggest("", fsmoe_name_at, names));
	assert_string_equal(fsmoe_name_list(fsmoe_name_at, names, buffer, sizeof(buffer)),
			    "nodes, steps, micro-batches and tp");
	assert_string_equal(fsmoe_name_list(fsmoe_name_at, names, small, sizeof(small)),
			    "nodes ...");
}

static void json_numbers(void **state)
{
	static const struct
	{
		double value;
		const char *text;
	} cases[] = {{0.1, "0.1"}, {1.0 / 3, "0.3333333333333333"}, {1e300, "1e+300"},
		     {-2, "-2"},   {5e-324, "4.94066e-324"},        {HUGE_VAL, "null"}};
	char buffer[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(fsmoe_json_real(cases[i].value, buffer, sizeof(buffer)),
				    cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_line_sets_every_type),
		cmocka_unit_test(rows_of_another_table),
		cmocka_unit_test(command_line_errors),
		cmocka_unit_test(json_sets_every_type),
		cmocka_unit_test(json_errors),
		cmocka_unit_test(json_numbers),
		cmocka_unit_test(help_and_man_show_the_table),
		cmocka_unit_test(edit_distance),
		cmocka_unit_test(nearest_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
