/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/clock_sync.h"

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
	ROUNDS = 40
};

/* A host's name for the time since it was started; equal names mean equal clocks. */
struct host
{
	char boot[64];
};

static void name_host(struct host *host)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	memset(host, 0, sizeof(*host));
	if (file && !fgets(host->boot, sizeof(host->boot), file))
		host->boot[0] = '\0';
	if (file)
		fclose(file);
}

static int same_host(struct fsmoe_comm *world, int *same)
{
	struct host mine, all[world->size];
	int err;

	name_host(&mine);
	err = fsmoe_comm_allgather(world, &mine, all, sizeof(mine));
	*same = !err && mine.boot[0] && !memcmp(&mine, &all[0], sizeof(mine));
	return err;
}

int fsmoe_comm_sync_clock(struct fsmoe_comm *world, double *offset, double *error)
{
	double low = -INFINITY, high = INFINITY, left_before = NAN, entered_before = NAN;
	int same, err = same_host(world, &same);

	/* In turns: when this rank entered the exchange, and when it had left the one before. */
	for (int i = 0; i < ROUNDS && !err; i++)
	{
		double mine[2] = {fsmoe_clock(), left_before}, all[world->size][2], left;

		err = fsmoe_comm_allgather(world, mine, all, sizeof(mine));
		left = fsmoe_clock();
		/* Rank 0 entered before I left; I entered the last one before rank 0 left it. */
		high = fmin(high, left - all[0][0]);
		if (i > 0)
			low = fmax(low, entered_before - all[0][1]);
		left_before = left;
		entered_before = mine[0];
	}
	if (err)
		return err;
	*offset = same ? 0 : (low + high) / 2;
	*error = same ? 0 : (high - low) / 2;
	return 0;
}
