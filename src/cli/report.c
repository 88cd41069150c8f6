/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"
#include "base/option_rows.h"
#include "cli/cli.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <stddef.h>

struct options
{
	const char *run, *out;
	int text;
};

#define AT(field) offsetof(struct options, field)

const struct fsmoe_option cli_report_options[] = {
	TEXT("run", run, "DIR",
	     "Report the run in this folder, the one of train --output; --run may be omitted"),
	TEXT("out", out, "FILE", "Write the page to this file (default DIR/report.html)"),
	FLAG("text", text, "Print the numbers instead of writing a page"),
	{.type = FSMOE_OPTION_END},
};

static int write_page(const struct options *options, const struct fsmoe_report *report)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s%s", options->out ? options->out : options->run,
			 options->out ? "" : "/report.html");
	int err;

	if (n >= PATH_MAX)
		return fsmoe_fail(ENAMETOOLONG, "the path %s is too long", options->run);
	err = fsmoe_report_write_html(report, path);
	if (!err)
		puts(path);
	return err;
}

int cli_open_report(const struct fsmoe_option *table, int argc, char **argv, void *options,
		    const char **run, struct fsmoe_report *report, int *code)
{
	int err;

	*run = cli_take_argument(&argc, argv);
	err = fsmoe_options_parse(table, argc, argv, options);
	if (err == FSMOE_OPTIONS_HELP)
	{
		*code = cli_show_help(argv[0]);
		return err;
	}
	if (!err && !*run)
		err = fsmoe_fail(EINVAL,
				 "no run given: fsmoe %s DIR, the folder of train --output=DIR",
				 argv[0]);
	if (err)
	{
		*code = cli_fail(FSMOE_EXIT_USAGE, err);
		return err;
	}
	err = fsmoe_report_open(report, *run);
	if (err)
		*code = cli_fail(FSMOE_EXIT_DATA, err);
	return err;
}

int cli_report(int argc, char **argv)
{
	struct options options = {0};
	struct fsmoe_report report;
	int code, err = 0;

	if (cli_open_report(cli_report_options, argc, argv, &options, &options.run, &report, &code))
		return code;
	if (options.text)
		fsmoe_report_write_text(&report, stdout);
	else
		err = write_page(&options, &report);
	fsmoe_report_close(&report);
	return err ? cli_fail(FSMOE_EXIT_RUN, err) : FSMOE_EXIT_OK;
}
