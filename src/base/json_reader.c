/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_reader.h"
#include "base/suggest.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <string.h>

void fsmoe_json_bad(struct fsmoe_json_reader *r, const char *key, const char *what)
{
	char where[32] = "";

	if (r->part)
		snprintf(where, sizeof(where), "%s %d: ", r->part, r->number);
	if (!r->err)
		r->err = fsmoe_fail(EPROTO, "%s: %s\"%s\" %s", r->path, where, key, what);
}

void fsmoe_json_check_keys(struct fsmoe_json_reader *r, const char *const *known)
{
	const char *key, *near;
	char what[80];
	json_t *value;

	json_object_foreach(r->object, key, value)
	{
		int i = 0;

		while (known[i] && strcmp(known[i], key))
			i++;
		if (known[i])
			continue;
		near = fsmoe_suggest(key, fsmoe_name_at, known);
		snprintf(what, sizeof(what), "is an unknown key%s%s%s",
			 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
		fsmoe_json_bad(r, key, what);
	}
}
