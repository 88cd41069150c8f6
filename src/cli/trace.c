/* SPDX-License-Identifier: Apache-2.0 */
#include "base/option_rows.h"
#include "cli/cli.h"
#include "cli/trace.h"
#include "trace/trace_files.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stddef.h>

struct trace
{
	const char *dir;
};

#define AT(field) offsetof(struct trace, field)

const struct fsmoe_option cli_trace_options[] = {
	TEXT("dir", dir, "DIR",
	     "Convert the traces in this folder, the one of train --trace; --dir may be omitted"),
	{.type = FSMOE_OPTION_END},
};

int cli_trace_convert(const char *dir, int quiet)
{
	struct fsmoe_trace_info info;
	int64_t tasks = 0;
	int err = fsmoe_trace_convert(dir, &info);

	if (err)
		return cli_fail(FSMOE_EXIT_DATA, err);
	if (quiet)
		return FSMOE_EXIT_OK;
	for (int r = 0; r < info.ranks; r++)
		tasks += info.part[r].tasks;
	printf("traced steps %llu to %llu of %d %s: %lld tasks from %.1f to %.1f ms; see "
	       "%s/paje.trace\n",
	       (unsigned long long)info.first, (unsigned long long)info.last, info.ranks,
	       info.ranks == 1 ? "rank" : "ranks", (long long)tasks, info.from, info.to, dir);
	return FSMOE_EXIT_OK;
}

int cli_trace(int argc, char **argv)
{
	struct trace trace = {.dir = cli_take_argument(&argc, argv)};
	int err = fsmoe_options_parse(cli_trace_options, argc, argv, &trace);

	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (!err && !trace.dir)
		err = fsmoe_fail(
			EINVAL, "no trace given: fsmoe trace DIR, the folder of train --trace=DIR");
	if (err)
		return cli_fail(FSMOE_EXIT_USAGE, err);
	return cli_trace_convert(trace.dir, 0);
}
