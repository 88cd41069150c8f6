/* SPDX-License-Identifier: Apache-2.0 */
#include "base/option_rows.h"
#include "cli/cli.h"
#include "data/checksum.h"
#include "data/sources.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <inttypes.h>

struct checksum
{
	const char *data;
};

#define AT(field) offsetof(struct checksum, field)

const struct fsmoe_option cli_checksum_options[] = {
	TEXT("data", data, "PATH",
	     "Write FILE.crc32c beside each file that train --data=PATH would read; train compares "
	     "it from then on. --data may be omitted, and several paths may then be given"),
	{.type = FSMOE_OPTION_END},
};

/* Writes a checksum for every file of `source`. Returns an exit code. */
static int write_all(const char *source)
{
	struct fsmoe_checksum sum;
	struct fsmoe_sources sources;
	int code = FSMOE_EXIT_OK;

	if (fsmoe_sources_find(&sources, source))
		return FSMOE_EXIT_DATA;
	for (int i = 0; i < sources.n && !code; i++)
	{
		if (fsmoe_checksum_make(sources.path[i], &sum))
			code = FSMOE_EXIT_DATA;
		else if (fsmoe_checksum_write(sources.path[i], &sum))
			code = FSMOE_EXIT_RUN;
		else
			printf("%08" PRIx32 " %" PRIu64 " %s\n", sum.crc, sum.bytes,
			       sources.path[i]);
	}
	fsmoe_sources_free(&sources);
	return code;
}

int cli_checksum(int argc, char **argv)
{
	const char *source[argc + 1];
	struct checksum checksum = {0};
	int n = 0, code = FSMOE_EXIT_OK, err;

	while ((source[n] = cli_take_argument(&argc, argv)))
		n++;
	err = fsmoe_options_parse(cli_checksum_options, argc, argv, &checksum);
	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (checksum.data)
		source[n++] = checksum.data;
	if (!err && !n)
		err = fsmoe_fail(EINVAL, "no data given: fsmoe checksum FILE...");
	if (err)
		return cli_fail(FSMOE_EXIT_USAGE, err);
	/* Launched on many ranks, it is done once. */
	for (int i = 0; i < n && !code && cli_launch_rank() == 0; i++)
		code = write_all(source[i]);
	return code ? cli_fail(code, 0) : FSMOE_EXIT_OK;
}
