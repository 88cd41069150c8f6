/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include "base/suggest.h"

#include <argp.h>
#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const char *fsmoe_option_range(const struct fsmoe_option *option, char *buffer, size_t size)
{
	buffer[0] = '\0';
	if (option->min == option->max)
		return buffer;
	if (option->max >= INT_MAX)
		snprintf(buffer, size, "at least %.10g", option->min);
	else
		snprintf(buffer, size, "%.10g to %.10g", option->min, option->max);
	return buffer;
}

/* --- values, from text or JSON ------------------------------------------------------------ */

/* The source of a value, for sentences: `where` is "--steps" or "run.json:3: \"steps\"", `text` the
 * value as the user wrote it. */
struct source
{
	const char *where, *text;
};

static int bad(const struct fsmoe_option *option, const struct source *source, const char *needed)
{
	char range[64];

	fsmoe_option_range(option, range, sizeof(range));
	return fsmoe_fail(EINVAL, "%s is %s: it must be %s%s%s", source->where, source->text,
			  needed, *range ? ", " : "", range);
}

static int in_range(const struct fsmoe_option *option, double value)
{
	return option->min == option->max || (value >= option->min && value <= option->max);
}

static int set_int(const struct fsmoe_option *option, const struct source *source, long long value,
		   void *target)
{
	if (value < INT_MIN || value > INT_MAX || !in_range(option, (double)value))
		return bad(option, source, "a whole number");
	*(int *)target = (int)value;
	return 0;
}

static int set_real(const struct fsmoe_option *option, const struct source *source, double value,
		    void *target)
{
	if (!isfinite(value) || !in_range(option, value))
		return bad(option, source, "a number");
	*(double *)target = value;
	return 0;
}

static int set_string(const struct fsmoe_option *option, const struct source *source,
		      const char *value, void *target)
{
	char valid[256];
	const char *near;

	for (int i = 0; option->choices && option->choices[i]; i++)
		if (!strcmp(value, option->choices[i]))
		{
			value = option->choices[i];
			break;
		}
		else if (!option->choices[i + 1])
		{
			near = fsmoe_suggest(value, fsmoe_name_at, option->choices);
			fsmoe_name_list(fsmoe_name_at, option->choices, valid, sizeof(valid));
			return fsmoe_fail(EINVAL, "%s is '%s': it must be one of %s%s%s%s",
					  source->where, value, valid,
					  near ? "; did you mean '" : "", near ? near : "",
					  near ? "'?" : "");
		}
	*(const char **)target = value;
	return 0;
}

static int set_from_text(const struct fsmoe_option *option, const struct source *source,
			 const char *text, void *target)
{
	static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
	long long whole;
	double real;
	char *end;

	switch (option->type)
	{
	case FSMOE_OPTION_INT:
		errno = 0;
		whole = strtoll(text, &end, 10);
		if (end == text || *end || errno)
			return bad(option, source, "a whole number");
		return set_int(option, source, whole, target);
	case FSMOE_OPTION_U64:
		errno = 0;
		*(uint64_t *)target = strtoull(text, &end, 0);
		if (end == text || *end || errno || strchr(text, '-'))
			return bad(option, source, "a whole number from 0 to 2^64 - 1");
		return 0;
	case FSMOE_OPTION_REAL:
		real = strtod(text, &end);
		if (end == text || *end)
			return bad(option, source, "a number");
		return set_real(option, source, real, target);
	case FSMOE_OPTION_FLAG:
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (!strcmp(text, words[i]))
			{
				*(int *)target = (int)(i % 2);
				return 0;
			}
		return bad(option, source, "yes or no");
	default:
		return set_string(option, source, text, target);
	}
}

static int set_from_json(const struct fsmoe_option *option, const struct source *source,
			 const json_t *value, void *target)
{
	switch (option->type)
	{
	case FSMOE_OPTION_INT:
		if (!json_is_integer(value))
			return bad(option, source, "a whole number");
		return set_int(option, source, json_integer_value(value), target);
	case FSMOE_OPTION_U64:
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return bad(option, source, "a whole number from 0 on");
		*(uint64_t *)target = (uint64_t)json_integer_value(value);
		return 0;
	case FSMOE_OPTION_REAL:
		if (!json_is_number(value))
			return bad(option, source, "a number");
		return set_real(option, source, json_number_value(value), target);
	case FSMOE_OPTION_FLAG:
		if (!json_is_boolean(value))
			return bad(option, source, "true or false");
		*(int *)target = json_is_true(value);
		return 0;
	default:
		if (!json_is_string(value))
			return bad(option, source, "a string");
		return set_string(option, source, json_string_value(value), target);
	}
}

/* --- JSON ---------------------------------------------------------------------------------- */

/* Names as JSON spells them. */
static const char *underscored(const char *name, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s", name);
	for (char *c = buffer; *c; c++)
		if (*c == '-')
			*c = '_';
	return buffer;
}

static int unknown_key(const struct fsmoe_option *table, const struct fsmoe_json *json,
		       const char *key)
{
	const struct fsmoe_option *near = fsmoe_option_nearest(table, key);
	char name[200];

	if (near)
		underscored(near->name, name, sizeof(name));
	else
		fsmoe_name_list(fsmoe_option_name_at, table, name, sizeof(name));
	if (strstr(name, " ...")) /* too many to list */
		strcpy(name, "those that --help lists");
	return fsmoe_fail(EINVAL, "%s:%d: unknown key \"%s\"%s%s%s", json->path,
			  fsmoe_json_line(json, key), key,
			  near ? "; did you mean \"" : ": there are ", name, near ? "\"?" : "");
}

/* The key before `key` that names the same option; NULL: none. */
static const char *named_before(const struct fsmoe_option *table, json_t *root, const char *key)
{
	const struct fsmoe_option *option = fsmoe_option_find(table, key);
	const char *other;
	json_t *value;

	json_object_foreach(root, other, value)
	{
		if (!strcmp(other, key))
			break;
		if (fsmoe_option_find(table, other) == option)
			return other;
	}
	return NULL;
}

int fsmoe_options_json(const struct fsmoe_option *table, const struct fsmoe_json *json,
		       void *target)
{
	const char *key, *other;
	json_t *value;

	if (!json_is_object(json->root))
		return fsmoe_fail(EINVAL,
				  "%s: the outermost value must be an object, {\"key\": "
				  "value, ...}",
				  json->path);
	json_object_foreach(json->root, key, value)
	{
		const struct fsmoe_option *option = fsmoe_option_find(table, key);
		char where[320], *text;
		struct source source = {.where = where};
		int err;

		if (!option || option->flags & FSMOE_OPTION_NOT_JSON)
			return unknown_key(table, json, key);
		snprintf(where, sizeof(where), "%s:%d: \"%s\"", json->path,
			 fsmoe_json_line(json, key), key);
		if (option->type == FSMOE_OPTION_REFUSED)
			return fsmoe_fail(EINVAL, "%s %s", where, option->help);
		other = named_before(table, json->root, key);
		if (other)
			return fsmoe_fail(EINVAL, "%s and \"%s\" are one option: give only one",
					  where, other);
		text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(10));
		source.text = text ? text : "?";
		err = set_from_json(option, &source, value, (char *)target + option->offset);
		free(text);
		if (err)
			return err;
	}
	return 0;
}

/* --- command line -------------------------------------------------------------------------- */

struct parse
{
	const struct fsmoe_option *table;
	void *target;
	int n; /* rows of the table */
	int help, err;
};

#define KEY_BASE 0x1000 /* no letter: these options have no short form */
#define KEY_HELP '?'

/* argp says only that it stopped at this argument: says why. */
static int explain(const struct fsmoe_option *table, const char *argument)
{
	char name[64];
	const struct fsmoe_option *near;

	if (argument[0] == '-' && argument[1] != '-')
		return fsmoe_fail(EINVAL, "unknown option %s; options are words, such as --help",
				  argument);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
	near = strchr(name, '_') ? NULL : fsmoe_option_find(table, name);
	if (near)
		return fsmoe_fail(EINVAL, "--%s needs a value: --%s=%s", near->name, near->name,
				  near->metavar);
	near = fsmoe_option_nearest(table, name);
	return fsmoe_fail(EINVAL, "unknown option --%s%s%s%s", name,
			  near ? "; did you mean --" : "", near ? near->name : "",
			  near ? "?" : "; --help lists the options");
}

static error_t read_help(struct parse *parse, const char *what, int is_value)
{
	const int all = what && !strcmp(what, "all");

	parse->help = FSMOE_OPTIONS_HELP;
	for (int i = 0; all && i < parse->n; i++)
		if (parse->table[i].flags & FSMOE_OPTION_COMMON)
			parse->help = FSMOE_OPTIONS_HELP_ALL;
	if (is_value && !all)
	{
		parse->help = 0;
		parse->err =
			fsmoe_fail(EINVAL, "--help is '%s': it takes no value but 'all'", what);
	}
	return ECANCELED; /* the way to stop argp */
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct parse *parse = state->input;

	if (key >= KEY_BASE && key < KEY_BASE + parse->n)
	{
		const struct fsmoe_option *option = &parse->table[key - KEY_BASE];
		void *target = (char *)parse->target + option->offset;
		char where[80];
		const struct source source = {.where = where, .text = arg};

		snprintf(where, sizeof(where), "--%s", option->name);
		if (option->type == FSMOE_OPTION_REFUSED)
			parse->err = fsmoe_fail(EINVAL, "%s %s", where, option->help);
		else if (option->type == FSMOE_OPTION_FLAG && !arg)
			*(int *)target = 1;
		else
			parse->err = set_from_text(option, &source, arg, target);
		return parse->err ? EINVAL : 0;
	}
	switch (key)
	{
	case KEY_HELP:
		return read_help(parse, arg ? arg : state->argv[state->next], arg != NULL);
	case ARGP_KEY_ARG:
		parse->err =
			fsmoe_fail(EINVAL, "'%s' is not an option: options begin with --", arg);
		return EINVAL;
	case ARGP_KEY_ERROR:
		if (!parse->err && !parse->help)
			parse->err = explain(parse->table, state->argv[state->next - 1]);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Writes an option of argp for each name of a row, and returns how many; NULL: only counts. */
static int add_names(const struct fsmoe_option *option, int key, struct argp_option *rows)
{
	const char *const *old = option->old;
	const char *name = option->name;
	const int may = option->type == FSMOE_OPTION_FLAG || option->type == FSMOE_OPTION_REFUSED;
	int n = 0;

	for (; name; name = old ? *old++ : NULL, n++)
		if (rows)
			rows[n] = (struct argp_option){.name = name,
						       .key = key,
						       .arg = may ? "yes|no" : option->metavar,
						       .flags = may ? OPTION_ARG_OPTIONAL : 0};
	return n;
}

static int parse_flat(const struct fsmoe_option *table, int argc, char **argv, void *target)
{
	struct parse parse = {.table = table, .target = target};
	struct argp_option *rows;
	int names = 0, used = 0;
	error_t err;

	for (; table[parse.n].type != FSMOE_OPTION_END; parse.n++)
		names += add_names(&table[parse.n], 0, NULL);
	rows = calloc((size_t)names + 2, sizeof(*rows));
	if (!rows)
		return fsmoe_fail(ENOMEM, "out of memory while reading the command line");
	for (int i = 0; i < parse.n; i++)
		used += add_names(&table[i], KEY_BASE + i, rows + used);
	rows[used] = (struct argp_option){
		.name = "help", .key = KEY_HELP, .arg = "all", .flags = OPTION_ARG_OPTIONAL};
	err = argp_parse(&(struct argp){.options = rows, .parser = parse_one}, argc, argv,
			 ARGP_NO_ERRS | ARGP_NO_EXIT | ARGP_NO_HELP | ARGP_IN_ORDER, NULL, &parse);
	free(rows);
	if (parse.help)
		return parse.help;
	if (err && !parse.err)
		return fsmoe_fail(err, "cannot read the command line: %s", strerror(err));
	return parse.err;
}

int fsmoe_options_parse(const struct fsmoe_option *table, int argc, char **argv, void *target)
{
	struct fsmoe_option *flat;
	int err = fsmoe_options_flat(&flat, table);

	if (err)
		return err;
	err = parse_flat(flat, argc, argv, target);
	free(flat);
	return err;
}
