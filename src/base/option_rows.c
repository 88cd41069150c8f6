/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

static const struct fsmoe_option *find(const struct fsmoe_option *table, const char *name,
				       size_t length)
{
	for (; table->type != FSMOE_OPTION_END; table++)
		if (table->name && strlen(table->name) == length &&
		    !strncmp(table->name, name, length))
			return table;
	return NULL;
}

/* Appends to flat[*n] what a row stands for: itself, or rows of another table, moved to where the
 * struct of those lies. */
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

		length = strcspn(name, " ");
		found = find(row->from, name, length);
		if (!found)
			return fsmoe_fail(EINVAL, "there is no option '%.*s' to take", (int)length,
					  name);
		flat[*n] = *found;
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
