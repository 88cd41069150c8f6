/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fsmoe_json_load(struct fsmoe_json *json, const char *path)
{
	size_t size;
	char *text;
	int err = fsmoe_file_read(path, &text, &size);

	return err ? err : fsmoe_json_parse(json, path, text, size);
}

int fsmoe_json_parse(struct fsmoe_json *json, const char *path, char *text, size_t size)
{
	struct fsmoe_json fresh = {.text = text, .path = strdup(path)};
	json_error_t error;

	if (!fresh.text || !fresh.path)
	{
		fsmoe_json_free(&fresh);
		return fsmoe_fail(ENOMEM, "out of memory while reading %s", path);
	}
	fresh.root = json_loadb(fresh.text, size, JSON_REJECT_DUPLICATES, &error);
	if (!fresh.root)
	{
		fsmoe_json_free(&fresh);
		return fsmoe_fail(EPROTO, "%s:%d: not JSON: %s", path, error.line, error.text);
	}
	*json = fresh;
	return 0;
}

void fsmoe_json_free(struct fsmoe_json *json)
{
	json_decref(json->root);
	free(json->path);
	free(json->text);
	memset(json, 0, sizeof(*json));
}

int fsmoe_json_line(const struct fsmoe_json *json, const char *key)
{
	const size_t length = strlen(key);
	int line = 1;

	for (const char *at = json->text; *at; at++)
	{
		const char *after;

		if (*at == '\n')
			line++;
		if (*at != '"' || strncmp(at + 1, key, length) || at[1 + length] != '"')
			continue;
		for (after = at + length + 2; isspace((unsigned char)*after); after++)
			;
		if (*after == ':')
			return line;
	}
	return 0;
}

const char *fsmoe_json_real(double value, char *buffer, size_t size)
{
	if (!isfinite(value))
	{
		snprintf(buffer, size, "null");
		return buffer;
	}
	for (int digits = 6; digits <= 17; digits++)
	{
		snprintf(buffer, size, "%.*g", digits, value);
		if (strtod(buffer, NULL) == value)
			break;
	}
	return buffer;
}

char *fsmoe_json_quoted(const char *text)
{
	json_t *string = json_string(text);
	char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

	json_decref(string);
	return quoted;
}
