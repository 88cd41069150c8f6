/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

/* Launchers' variables: of Open MPI, of MPICH and its derivatives, of Slurm. */
static const char *const rank_variables[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID",
					     NULL};
static const char *const size_variables[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS",
					     NULL};

static int first_set(const char *const *names, int otherwise)
{
	for (; *names; names++)
	{
		const char *value = getenv(*names);

		if (value && *value)
			return atoi(value);
	}
	return otherwise;
}

int cli_launch_rank(void)
{
	return first_set(rank_variables, 0);
}

int cli_launch_ranks(void)
{
	return first_set(size_variables, 1);
}

int cli_exit(int err, int otherwise)
{
	static const struct
	{
		int err, code;
	} codes[] = {
		{0, FSMOE_EXIT_OK},
		{-ECONNABORTED, FSMOE_EXIT_PEER},
		{-ETIMEDOUT, FSMOE_EXIT_PEER},
		{-ENODATA, FSMOE_EXIT_DATA},
		{-ENODEV, FSMOE_EXIT_LAYOUT},
		{-ENOMEM, FSMOE_EXIT_LAYOUT},
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].err == err)
			return codes[i].code;
	return otherwise;
}

int cli_fail(int code, int err)
{
	/* Gives the launcher time to end the job after the first rank has failed. */
	if (cli_launch_rank() > 0)
		fsmoe_clock_sleep(4.0);
	fsmoe_log(FSMOE_LOG_ERROR, "%s", fsmoe_last_error());
	return err ? cli_exit(err, code) : code;
}

int cli_fail_together(int code)
{
	if (cli_launch_rank() == 0)
		fsmoe_log(FSMOE_LOG_ERROR, "%s", fsmoe_last_error());
	return code;
}
