/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include "base/suggest.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

const char *fsmoe_option_name_at(const void *table, int i)
{
	const struct fsmoe_option *option = (const struct fsmoe_option *)table + i;

	if (option->type == FSMOE_OPTION_END)
		return NULL;
	return option->name && option->type != FSMOE_OPTION_REFUSED ? option->name : "";
}

/* The i-th of all names and old names. */
static const char *any_name_at(const void *table, int i)
{
	for (const struct fsmoe_option *o = table; o->type != FSMOE_OPTION_END; o++)
	{
		if (!i--)
			return fsmoe_option_name_at(o, 0);
		for (const char *const *old = o->old; old && *old; old++)
			if (!i--)
				return *old;
	}
	return NULL;
}

static int same_name(const char *name, const char *given)
{
	while (*name && (*name == *given || (*name == '-' && *given == '_')))
		name++, given++;
	return !*name && !*given;
}

const struct fsmoe_option *fsmoe_option_find(const struct fsmoe_option *table, const char *name)
{
	for (; table->type != FSMOE_OPTION_END; table++)
	{
		if (table->name && same_name(table->name, name))
			return table;
		for (const char *const *old = table->old; old && *old; old++)
			if (same_name(*old, name))
				return table;
	}
	return NULL;
}

const struct fsmoe_option *fsmoe_option_nearest(const struct fsmoe_option *table, const char *wrong)
{
	const char *near = fsmoe_suggest(wrong, any_name_at, table);

	return near ? fsmoe_option_find(table, near) : NULL;
}

/* Appends the row itself to flat[*n], or the rows of another table that it lists, with offsets
 * moved to that table's struct. */
static int append(struct fsmoe_option *flat, size_t *n, const struct fsmoe_option *row)
{
	size_t length;

	if (row->type != FSMOE_OPTION_ROWS)
	{
		flat[(*n)++] = *row;
		return 0;
	}
	for (const char *name = row->name; *name; name += length, name += strspn(name, " "))
	{
		const struct fsmoe_option *found;
		char wanted[64];

		length = strcspn(name, " ");
		snprintf(wanted, sizeof(wanted), "%.*s", (int)length, name);
		found = fsmoe_option_find(row->from, wanted);
		if (!found)
			return fsmoe_fail(EINVAL, "there is no option '%s' to take", wanted);
		flat[*n] = *found;
		flat[*n].flags &= ~FSMOE_OPTION_COMMON;
		flat[(*n)++].offset += row->offset;
	}
	return 0;
}

int fsmoe_options_flat(struct fsmoe_option **flat, const struct fsmoe_option *table)
{
	size_t most = 1, n = 0;
	int err = 0;

	for (const struct fsmoe_option *o = table; o->type != FSMOE_OPTION_END; o++)
		most += o->type == FSMOE_OPTION_ROWS ? strlen(o->name) : 1;
	*flat = calloc(most, sizeof(**flat)); /* zero is the row that ends it */
	if (!*flat)
		return fsmoe_fail(ENOMEM, "out of memory for the options");
	for (; table->type != FSMOE_OPTION_END && !err; table++)
		err = append(*flat, &n, table);
	if (err)
		free(*flat);
	return err;
}
