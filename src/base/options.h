/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_OPTIONS_H
#define FSMOE_BASE_OPTIONS_H

#include "base/json.h"

#include <stddef.h>
#include <stdio.h>

/*
 * One table of options, from which come the command line (by glibc's argp), --help, the keys of a
 * JSON configuration and the manual page. Each row names the field of a struct that it sets.
 *
 * Names are written with '-': "hidden-size" is --hidden-size on the command line and "hidden_size"
 * (or "hidden-size") in JSON.
 */
enum fsmoe_option_type
{
	FSMOE_OPTION_END,     /* closes a table */
	FSMOE_OPTION_HEADING, /* `help` is the title of the rows that follow */
	FSMOE_OPTION_INT,     /* int */
	FSMOE_OPTION_U64,     /* uint64_t; min and max do not apply */
	FSMOE_OPTION_REAL,    /* double */
	FSMOE_OPTION_STRING,  /* const char *: points into argv or the JSON value, or to the choice
				 where the row has choices */
	FSMOE_OPTION_FLAG,    /* int: --name or --name=yes is 1, --name=no is 0 */
	FSMOE_OPTION_ROWS,    /* the rows of table `from` that `name` lists, separated by blanks */
	FSMOE_OPTION_REFUSED, /* a name no longer accepted: `help` is the sentence that says so */
};

struct fsmoe_option
{
	enum fsmoe_option_type type;
	const char *name;
	size_t offset;
	const char *metavar, *help;
	double min, max; /* both ends are allowed; equal: no limit */
	int flags;
	const char *const *choices; /* of a string: the valid values, then NULL; or NULL */
	/* Other names, then NULL; or NULL. Accepted wherever `name` is, but not listed. */
	const char *const *old;
	/* Lets commands share a row. The struct of `from` begins at `offset`; `from` itself has no
	 * row of type FSMOE_OPTION_ROWS. */
	const struct fsmoe_option *from;
};
#define FSMOE_OPTION_NOT_JSON 1 /* has no key: --config */
#define FSMOE_OPTION_COMMON   2 /* where a table marks some rows so, --help lists only these */

/*
 * Reads argv[1 ..] into target. Returns 0; FSMOE_OPTIONS_HELP at --help or -?, or
 * FSMOE_OPTIONS_HELP_ALL at --help=all or "--help all" where some rows are common (arguments after
 * it are not read); or -EINVAL with a sentence: an unknown option with the nearest valid name, a
 * bad value with its range, an argument that is not an option.
 */
int fsmoe_options_parse(const struct fsmoe_option *table, int argc, char **argv, void *target);
#define FSMOE_OPTIONS_HELP     1
#define FSMOE_OPTIONS_HELP_ALL 2

/* Reads the keys of a JSON object into target, by a table without rows of others. Fails as above,
 * with sentences that begin "PATH:LINE: ". Strings without choices point into json. */
int fsmoe_options_json(const struct fsmoe_option *table, const struct fsmoe_json *json,
		       void *target);

/* Prints the text of --help; `usage` is "fsmoe train". Defaults are read from `defaults`, a struct
 * like the target; NULL: none are shown. `all`: lists the rows that are not common too. */
int fsmoe_options_help(const struct fsmoe_option *table, const char *usage, const char *doc,
		       const void *defaults, int all, FILE *file);
/* Prints all rows in the language of man pages: .SS and .TP entries. */
int fsmoe_options_man(const struct fsmoe_option *table, const void *defaults, FILE *file);

/* "1 to 64", "at least 0", or "" without limits. Returns buffer. */
const char *fsmoe_option_range(const struct fsmoe_option *option, char *buffer, size_t size);

/* Allocates the table with each FSMOE_OPTION_ROWS replaced by the rows it lists, none of them
 * common; free it. */
int fsmoe_options_flat(struct fsmoe_option **flat, const struct fsmoe_option *table);

/* Finds the row that has this name, or had it, with '_' read as '-'; NULL: none. */
const struct fsmoe_option *fsmoe_option_find(const struct fsmoe_option *table, const char *name);
/* Finds the row whose name is nearest to a mistyped one; NULL: none is near. */
const struct fsmoe_option *fsmoe_option_nearest(const struct fsmoe_option *table,
						const char *wrong);
/* For fsmoe_name_list: the names of a table. */
const char *fsmoe_option_name_at(const void *table, int i);

#endif
