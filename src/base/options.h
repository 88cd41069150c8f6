/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_OPTIONS_H
#define FSMOE_BASE_OPTIONS_H

#include "base/json.h"

#include <stddef.h>
#include <stdio.h>

/*
 * One table of options, from which everything comes that shows an option: the command line
 * (glibc's argp), --help, the keys of a JSON configuration and the man page. A row says where in
 * a struct its value goes.
 *
 * A name is written with '-'; "model-dim" is --model-dim on the command line and "model_dim" (or
 * "model-dim") in JSON.
 */
enum fsmoe_option_type
{
	FSMOE_OPTION_END,     /* closes a table */
	FSMOE_OPTION_HEADING, /* `help` is the title of the rows that follow */
	FSMOE_OPTION_INT,     /* int */
	FSMOE_OPTION_U64,     /* uint64_t; min and max do not apply */
	FSMOE_OPTION_REAL,    /* double */
	FSMOE_OPTION_STRING,  /* const char *, points into argv or the JSON value; of choices,
				 to the choice */
	FSMOE_OPTION_FLAG,    /* int: --name or --name=yes is 1, --name=no is 0 */
	FSMOE_OPTION_ROWS,    /* rows of the table `from`, which `name` lists with blanks between */
};

struct fsmoe_option
{
	enum fsmoe_option_type type;
	const char *name;
	size_t offset;
	const char *metavar, *help;
	double min, max; /* both ends are allowed; equal: no limit */
	int flags;
	const char *const *choices; /* of a string: the valid ones, NULL at the end; or NULL */
	/* So that a row that commands share is said once. Its struct begins at `offset`, and `from`
	 * has no such rows itself. */
	const struct fsmoe_option *from;
};
#define FSMOE_OPTION_NOT_JSON 1 /* has no key: --config */

/*
 * Reads argv[1 ..] into target. 0; FSMOE_OPTIONS_HELP where --help or -? stands (what comes
 * after it is not read); -EINVAL with a sentence: an unknown option with the nearest valid one,
 * a value that is none or out of range with the range, an argument that is no option.
 */
int fsmoe_options_parse(const struct fsmoe_option *table, int argc, char **argv, void *target);
#define FSMOE_OPTIONS_HELP 1

/* Reads the keys of a JSON object into target, by a table without rows of others; the same
 * failures as "PATH:LINE: ...". Strings without choices point into json. */
int fsmoe_options_json(const struct fsmoe_option *table, const struct fsmoe_json *json,
		       void *target);

/* What --help prints; `usage` is "fsmoe train". Defaults are read from `defaults`, a struct like
 * the target; NULL: none are shown. */
int fsmoe_options_help(const struct fsmoe_option *table, const char *usage, const char *doc,
		       const void *defaults, FILE *file);
/* The same rows in the language of man pages: .SS and .TP entries. */
int fsmoe_options_man(const struct fsmoe_option *table, const void *defaults, FILE *file);

/* "1 to 64", "at least 0", or "" without limits. Returns buffer. */
const char *fsmoe_option_range(const struct fsmoe_option *option, char *buffer, size_t size);

/* The table with what its FSMOE_OPTION_ROWS stand for in their place; free it. */
int fsmoe_options_flat(struct fsmoe_option **flat, const struct fsmoe_option *table);

/* For fsmoe_suggest and fsmoe_name_list: the names of a table. */
const char *fsmoe_option_name_at(const void *table, int i);

#endif
