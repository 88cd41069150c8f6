/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* What stands in the page in a line of its own, and what comes there. */
#define STYLE  "@STYLE@"
#define SCRIPT "@SCRIPT@"
#define DATA   "@DATA@"

/* JSON inside of HTML: no text in it may end the element. */
static void write_data(const struct fsmoe_report *report, FILE *file)
{
	char *text = json_dumps(report->root, JSON_COMPACT);

	for (const char *c = text; c && *c; c++)
		if (*c == '<')
			fputs("\\u003c", file);
		else
			fputc(*c, file);
	if (!text)
		fputs("null", file);
	free(text);
}

int fsmoe_report_write_html(const struct fsmoe_report *report, const char *path)
{
	FILE *file = fopen(path, "we");
	const char *rest = fsmoe_report_page;
	int failed;

	if (!file)
		return fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	for (const char *at; (at = strchr(rest, '@')); rest = strchr(at + 1, '@') + 1)
	{
		fwrite(rest, 1, (size_t)(at - rest), file);
		if (!strncmp(at, STYLE, strlen(STYLE)))
			fputs(fsmoe_report_style, file);
		else if (!strncmp(at, SCRIPT, strlen(SCRIPT)))
			fputs(fsmoe_report_script, file);
		else if (!strncmp(at, DATA, strlen(DATA)))
			write_data(report, file);
	}
	fputs(rest, file);
	failed = ferror(file);
	if (fclose(file) || failed)
		return fsmoe_fail(EIO, "cannot write %s", path);
	return 0;
}
