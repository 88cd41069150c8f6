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

const char *fsmoe_option_name_at(const void *table, int i)
{
	const struct fsmoe_option *option = (const struct fsmoe_option *)table + i;

	if (option->type == FSMOE_OPTION_END)
		return NULL;
	return option->name ? option->name : "";
}

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

/* Where a value comes from, for sentences: `where` is "--steps" or "run.json:3: \"steps\"". */
struct source
{
	const char *where, *text; /* text: the value as the user wrote it */
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

static const struct fsmoe_option *find_key(const struct fsmoe_option *table, const char *key)
{
	for (; table->type != FSMOE_OPTION_END; table++)
	{
		const char *name = table->name, *k = key;

		if (!name || table->flags & FSMOE_OPTION_NOT_JSON)
			continue;
		while (*name && (*name == *k || (*name == '-' && *k == '_')))
			name++, k++;
		if (!*name && !*k)
			return table;
	}
	return NULL;
}

/* A table's names as JSON spells them, for the sentence. */
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
	const char *near = fsmoe_suggest(key, fsmoe_option_name_at, table);
	char name[200];

	if (near)
		underscored(near, name, sizeof(name));
	else
		fsmoe_name_list(fsmoe_option_name_at, table, name, sizeof(name));
	if (strstr(name, " ...")) /* more than one reads */
		strcpy(name, "those that --help lists");
	return fsmoe_fail(EINVAL, "%s:%d: unknown key \"%s\"%s%s%s", json->path,
			  fsmoe_json_line(json, key), key,
			  near ? "; did you mean \"" : ": there are ", name, near ? "\"?" : "");
}

int fsmoe_options_json(const struct fsmoe_option *table, const struct fsmoe_json *json,
		       void *target)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json->root))
		return fsmoe_fail(EINVAL,
				  "%s: the outermost value must be an object, {\"key\": "
				  "value, ...}",
				  json->path);
	json_object_foreach(json->root, key, value)
	{
		const struct fsmoe_option *option = find_key(table, key);
		char where[320], *text;
		struct source source = {.where = where};
		int err;

		if (!option)
			return unknown_key(table, json, key);
		snprintf(where, sizeof(where), "%s:%d: \"%s\"", json->path,
			 fsmoe_json_line(json, key), key);
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
	int n, help, err; /* n: rows of the table */
};

#define KEY_BASE 0x1000 /* no letter: these options have no short form */
#define KEY_HELP '?'

/* Why argp stopped at this argument: it says only that it did. */
static int explain(const struct fsmoe_option *table, const char *argument)
{
	char name[64];
	const char *near;

	if (argument[0] == '-' && argument[1] != '-')
		return fsmoe_fail(EINVAL, "unknown option %s; options are words, such as --help",
				  argument);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
	for (const struct fsmoe_option *o = table; o->type != FSMOE_OPTION_END; o++)
		if (o->name && !strcmp(o->name, name))
			return fsmoe_fail(EINVAL, "--%s needs a value: --%s=%s", name, name,
					  o->metavar);
	if (!strcmp(name, "help"))
		return fsmoe_fail(EINVAL, "--help takes no value");
	near = fsmoe_suggest(name, fsmoe_option_name_at, table);
	return fsmoe_fail(EINVAL, "unknown option --%s%s%s%s", name,
			  near ? "; did you mean --" : "", near ? near : "",
			  near ? "?" : "; --help lists the options");
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
		if (option->type == FSMOE_OPTION_FLAG && !arg)
			*(int *)target = 1;
		else
			parse->err = set_from_text(option, &source, arg, target);
		return parse->err ? EINVAL : 0;
	}
	switch (key)
	{
	case KEY_HELP:
		parse->help = 1;
		return ECANCELED; /* the way to stop argp */
	case ARGP_KEY_ARG:
		parse->err = fsmoe_fail(EINVAL, "'%s' is no option: options begin with --", arg);
		return EINVAL;
	case ARGP_KEY_ERROR:
		if (!parse->err && !parse->help)
			parse->err = explain(parse->table, state->argv[state->next - 1]);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int parse_flat(const struct fsmoe_option *table, int argc, char **argv, void *target)
{
	struct parse parse = {.table = table, .target = target};
	struct argp_option *rows;
	int n = 0, used = 0;
	error_t err;

	while (table[n].type != FSMOE_OPTION_END)
		n++;
	parse.n = n;
	rows = calloc((size_t)n + 2, sizeof(*rows));
	if (!rows)
		return fsmoe_fail(ENOMEM, "out of memory while reading the command line");
	for (int i = 0; i < n; i++)
	{
		if (table[i].type == FSMOE_OPTION_HEADING)
			continue;
		rows[used].name = table[i].name;
		rows[used].key = KEY_BASE + i;
		rows[used].arg = table[i].type == FSMOE_OPTION_FLAG ? "yes|no" : table[i].metavar;
		rows[used].flags = table[i].type == FSMOE_OPTION_FLAG ? OPTION_ARG_OPTIONAL : 0;
		used++;
	}
	rows[used].name = "help";
	rows[used].key = KEY_HELP;
	err = argp_parse(&(struct argp){.options = rows, .parser = parse_one}, argc, argv,
			 ARGP_NO_ERRS | ARGP_NO_EXIT | ARGP_NO_HELP | ARGP_IN_ORDER, NULL, &parse);
	free(rows);
	if (parse.help)
		return FSMOE_OPTIONS_HELP;
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
