/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <argp.h>
#include <errno.h>
#include <fsmoe/error.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DOC_SIZE 512

/* Writes the default as on the command line, or "" if there is none. */
static void default_text(const struct fsmoe_option *option, const void *defaults, char *buffer,
			 size_t size)
{
	const void *value = (const char *)defaults + option->offset;
	const char *text;

	buffer[0] = '\0';
	if (!defaults)
		return;
	switch (option->type)
	{
	case FSMOE_OPTION_INT:
		snprintf(buffer, size, "%d", *(const int *)value);
		break;
	case FSMOE_OPTION_U64:
		snprintf(buffer, size, "%" PRIu64, *(const uint64_t *)value);
		break;
	case FSMOE_OPTION_REAL:
		fsmoe_json_real(*(const double *)value, buffer, size);
		break;
	case FSMOE_OPTION_FLAG:
		snprintf(buffer, size, "%s", *(const int *)value ? "yes" : "no");
		break;
	default:
		text = *(const char *const *)value;
		snprintf(buffer, size, "%s", text ? text : "");
		break;
	}
}

/* "Set the number of steps (1 to 64; default 2)" */
static void describe(const struct fsmoe_option *option, const void *defaults, char *buffer,
		     size_t size)
{
	char range[64], value[64];
	const char *sep;

	fsmoe_option_range(option, range, sizeof(range));
	default_text(option, defaults, value, sizeof(value));
	sep = *range && *value ? "; " : "";
	if (*range || *value)
		snprintf(buffer, size, "%s (%s%s%s%s)", option->help, range, sep,
			 *value ? "default " : "", value);
	else
		snprintf(buffer, size, "%s", option->help);
}

/* Counts the rows that the short help omits: those that are not common, if any row is. */
static int count_rare(const struct fsmoe_option *table)
{
	int common = 0, rare = 0;

	for (; table->type != FSMOE_OPTION_END; table++)
		if (table->flags & FSMOE_OPTION_COMMON)
			common++;
		else if (table->type != FSMOE_OPTION_HEADING && table->type != FSMOE_OPTION_REFUSED)
			rare++;
	return common ? rare : 0;
}

/* Writes the rows in argp's form; argp sorts them within the groups that headings begin. */
static void fill_rows(const struct fsmoe_option *table, const void *defaults, int rare,
		      struct argp_option *rows, char (*docs)[DOC_SIZE])
{
	const struct fsmoe_option *heading = NULL; /* written before the first row under it */
	int group = 1, n = 0;

	for (; table->type != FSMOE_OPTION_END; table++)
	{
		if (table->type == FSMOE_OPTION_HEADING)
			heading = table;
		if (table->type == FSMOE_OPTION_HEADING || table->type == FSMOE_OPTION_REFUSED ||
		    (rare && !(table->flags & FSMOE_OPTION_COMMON)))
			continue;
		if (heading)
		{
			snprintf(docs[n], DOC_SIZE, "%s:", heading->help);
			rows[n] = (struct argp_option){.doc = docs[n], .group = ++group};
			heading = NULL;
			n++;
		}
		describe(table, defaults, docs[n], DOC_SIZE);
		rows[n] = (struct argp_option){.name = table->name,
					       .key = 0x1000 + n,
					       .arg = table->metavar,
					       .doc = docs[n],
					       .group = group};
		if (table->type == FSMOE_OPTION_FLAG)
		{
			rows[n].arg = "yes|no";
			rows[n].flags = OPTION_ARG_OPTIONAL;
		}
		n++;
	}
	if (rare)
		snprintf(docs[n], DOC_SIZE, "Show this list; --help=all: with %d more options",
			 rare);
	else
		snprintf(docs[n], DOC_SIZE, "Show this list");
	rows[n] = (struct argp_option){
		.name = "help", .key = '?', .doc = docs[n], .group = group + 1};
	if (rare)
	{
		rows[n].key = 0x1000 + n; /* no letter: argp would explain its argument */
		rows[n].arg = "all";
		rows[n].flags = OPTION_ARG_OPTIONAL;
	}
}

int fsmoe_options_help(const struct fsmoe_option *table, const char *usage, const char *doc,
		       const void *defaults, int all, FILE *file)
{
	size_t n = 2; /* --help and the closing row */
	struct fsmoe_option *flat;
	struct argp_option *rows;
	char(*docs)[DOC_SIZE], *name;
	const int err = fsmoe_options_flat(&flat, table);

	if (err)
		return err;
	for (const struct fsmoe_option *o = flat; o->type != FSMOE_OPTION_END; o++)
		n++;
	name = strdup(usage);
	rows = calloc(n, sizeof(*rows));
	docs = calloc(n, sizeof(*docs));
	if (rows && docs && name)
	{
		const struct argp argp = {.options = rows, .doc = doc};

		fill_rows(flat, defaults, all ? 0 : count_rare(flat), rows, docs);
		argp_help(&argp, file, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC,
			  name);
	}
	else
		n = 0;
	free(rows);
	free(docs);
	free(name);
	free(flat);
	return n ? 0 : fsmoe_fail(ENOMEM, "out of memory while writing the help");
}

/* Writes '-' as "\-", which readers can copy from the page as an option. */
static void put_roff(const char *text, FILE *file)
{
	for (; *text; text++)
	{
		if (*text == '-' || *text == '\\')
			putc('\\', file);
		if (*text == '\\')
			putc('e', file);
		else
			putc(*text, file);
	}
}

static void put_entry(const struct fsmoe_option *option, const void *defaults, FILE *file)
{
	char doc[DOC_SIZE];

	if (option->type == FSMOE_OPTION_REFUSED)
		return;
	if (option->type == FSMOE_OPTION_HEADING)
	{
		fprintf(file, ".SS \"%s\"\n", option->help);
		return;
	}
	describe(option, defaults, doc, sizeof(doc));
	fputs(".TP\n\\fB\\-\\-", file);
	put_roff(option->name, file);
	if (option->type == FSMOE_OPTION_FLAG)
		fputs("\\fR[=\\fIyes|no\\fR]\n", file);
	else
		fprintf(file, "\\fR=\\fI%s\\fR\n", option->metavar);
	put_roff(doc, file);
	putc('\n', file);
}

int fsmoe_options_man(const struct fsmoe_option *table, const void *defaults, FILE *file)
{
	struct fsmoe_option *flat;
	const int err = fsmoe_options_flat(&flat, table);

	if (err)
		return err;
	for (const struct fsmoe_option *o = flat; o->type != FSMOE_OPTION_END; o++)
		put_entry(o, defaults, file);
	free(flat);
	return ferror(file) ? fsmoe_fail(EIO, "cannot write the man page") : 0;
}
