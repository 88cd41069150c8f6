/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/trace_paje.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of an entity's value, event 6 in StarPU's traces, the colour is the last field. */
static void write_line(FILE *out, const char *line)
{
	const char *colour = strncmp(line, "6\t", 2) ? NULL : strrchr(line, '\t');
	double red, green, blue;

	if (!colour || sscanf(colour, " \"%lf %lf %lf\"", &red, &green, &blue) != 3 ||
	    (red <= 1 && green <= 1 && blue <= 1))
	{
		fputs(line, out);
		return;
	}
	fprintf(out, "%.*s\t\"%.6f %.6f %.6f\"\n", (int)(colour - line), line, red / 255,
		green / 255, blue / 255);
}

int fsmoe_trace_fix_colours(const char *path)
{
	char part[PATH_MAX], *line = NULL;
	size_t room = 0;
	FILE *in = fopen(path, "re"), *out = NULL;
	int failed = 0;

	if (!in)
		return fsmoe_fail(errno, "cannot read %s: %s", path, strerror(errno));
	if (snprintf(part, sizeof(part), "%s.part", path) < (int)sizeof(part))
		out = fopen(part, "we");
	while (out && getline(&line, &room, in) > 0)
		write_line(out, line);
	failed = !out || ferror(in) || ferror(out);
	free(line);
	fclose(in);
	if (out && fclose(out))
		failed = 1;
	if (!failed && !rename(part, path))
		return 0;
	if (out)
		unlink(part);
	return fsmoe_fail(EIO, "cannot write %s", path);
}
