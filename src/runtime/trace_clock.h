/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRACE_CLOCK_H
#define FSMOE_TRACE_CLOCK_H

#include "comm/comm.h"

#include <stdint.h>

/*
 * Clocks of ranks against that of rank 0. A stamp that a rank takes before an exchange lies before
 * every stamp that another takes after it: each exchange bounds the difference of two clocks from
 * both sides, and the tightest bounds of many are kept. Where they allow that clocks are the same,
 * as on one host, they are.
 */
struct fsmoe_trace_clock
{
	int64_t offset; /* ns that this rank's clock is ahead of rank 0's */
	int64_t error;  /* ns; the offset is right within this */
};

/* What FxT stamps with: CLOCK_MONOTONIC, in ns. */
int64_t fsmoe_trace_now(void);

/* Collective over `world`; blocks for some milliseconds. */
int fsmoe_trace_clock(struct fsmoe_comm *world, struct fsmoe_trace_clock *clock);

/*
 * In the file of a rank: moves libstarpumpi's mark, recorded between the times `after` and
 * `before`, to the time `when`. StarPU takes the marks of all ranks for one moment, but each is
 * recorded when its rank gets a core after a barrier, and that may be milliseconds later. Returns
 * 1 if there was that mark; 0: the file is as it was.
 */
int fsmoe_trace_move_mark(int dirfd, const char *name, int rank, int ranks, int64_t after,
			  int64_t before, int64_t when);

#endif
