/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/trace_paje.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* When a variable of a container was set last. */
struct latest
{
	char container[64], variable[64];
	double time;
};

enum
{
	VARIABLES = 1024 /* more are passed through */
};

static struct latest *find(struct latest *all, int *n, const char *container, const char *variable)
{
	for (int i = 0; i < *n; i++)
		if (!strcmp(all[i].container, container) && !strcmp(all[i].variable, variable))
			return &all[i];
	if (*n == VARIABLES)
		return NULL;
	all[*n] = (struct latest){.time = 0};
	snprintf(all[*n].container, sizeof(all[*n].container), "%s", container);
	snprintf(all[*n].variable, sizeof(all[*n].variable), "%s", variable);
	return &all[(*n)++];
}

/* Event 13 sets a variable: code, time, container, variable, value. */
static int write_variable(FILE *out, const char *line, struct latest *all, int *n)
{
	char container[64], variable[64];
	struct latest *latest;
	double time;
	int value = 0;

	if (sscanf(line, "13 %lf %63s %63s %n", &time, container, variable, &value) != 3 || !value)
		return 0;
	latest = find(all, n, container, variable);
	if (!latest || time >= latest->time)
	{
		if (latest)
			latest->time = time;
		return 0;
	}
	fprintf(out, "13\t%.9f\t%s\t%s\t%s", latest->time, container, variable, line + value);
	return 1;
}

/* An entity's value is event 6 in StarPU's traces; its colour is the last field. */
static int write_value(FILE *out, const char *line)
{
	const char *colour = strncmp(line, "6\t", 2) ? NULL : strrchr(line, '\t');
	double red, green, blue;

	if (!colour || sscanf(colour, " \"%lf %lf %lf\"", &red, &green, &blue) != 3 ||
	    (red <= 1 && green <= 1 && blue <= 1))
		return 0;
	fprintf(out, "%.*s\t\"%.6f %.6f %.6f\"\n", (int)(colour - line), line, red / 255,
		green / 255, blue / 255);
	return 1;
}

int fsmoe_trace_mend_paje(const char *path)
{
	char part[PATH_MAX], *line = NULL;
	size_t room = 0;
	FILE *in = fopen(path, "re"), *out = NULL;
	struct latest *all = calloc(VARIABLES, sizeof(*all));
	int failed = 0, n = 0;

	if (!in)
	{
		free(all);
		return fsmoe_fail(errno, "cannot read %s: %s", path, strerror(errno));
	}
	if (snprintf(part, sizeof(part), "%s.part", path) < (int)sizeof(part))
		out = fopen(part, "we");
	while (out && all && getline(&line, &room, in) > 0)
		if (!write_value(out, line) && !write_variable(out, line, all, &n))
			fputs(line, out);
	failed = !out || !all || ferror(in) || ferror(out);
	free(line);
	free(all);
	fclose(in);
	if (out && fclose(out))
		failed = 1;
	if (!failed && !rename(part, path))
		return 0;
	if (out)
		unlink(part);
	return fsmoe_fail(EIO, "cannot write %s", path);
}
