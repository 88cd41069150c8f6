/* SPDX-License-Identifier: Apache-2.0 */
#include "cost/save.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fsmoe_save_text(const char *path, const char *text, size_t size)
{
	const size_t room = strlen(path) + 32;
	char *part = malloc(room);
	FILE *file;
	int err = 0;

	if (!part)
		return fsmoe_fail(ENOMEM, "no memory to write %s", path);
	snprintf(part, room, "%s.%d.part", path, (int)getpid());
	file = fopen(part, "we");
	if (!file)
		err = errno;
	else
	{
		if (fwrite(text, 1, size, file) != size || fflush(file) || fsync(fileno(file)))
			err = errno ? errno : EIO;
		if (fclose(file) && !err)
			err = errno ? errno : EIO;
		if (!err && rename(part, path))
			err = errno;
		if (err)
			unlink(part);
	}
	free(part);
	return err ? fsmoe_fail(err, "cannot write %s: %s", path, strerror(err)) : 0;
}

char *fsmoe_quoted(const char *text)
{
	json_t *string = json_string(text);
	char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

	json_decref(string);
	return quoted;
}
