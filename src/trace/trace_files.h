/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRACE_FILES_H
#define FSMOE_TRACE_FILES_H

#include <stdint.h>

/*
 * A folder of traces: FSMOE_TRACE_FILE_0, _1, ... of the ranks, trace.json that says what must be
 * in them, and all that StarPU's tool makes of them. No StarPU runs, and no MPI is needed.
 */
#define FSMOE_TRACE_FILE  "prof_file"
#define FSMOE_TRACE_RANKS 64 /* what StarPU's tool reads */

struct fsmoe_trace_part /* of one rank */
{
	int64_t bytes; /* of its file; 0: there is none */
	int64_t tasks; /* of the steps */
	/* ns by which its times may be off against rank 0's; -1: as far as barriers are */
	int64_t clock_error;
};

struct fsmoe_trace_info
{
	int ranks;
	uint64_t first, last; /* steps */
	struct fsmoe_trace_part part[FSMOE_TRACE_RANKS];
	double from, to; /* ms in paje.trace and tasks.rec; set by fsmoe_trace_convert */
};

/* Writes trace.json. -EIO, ... with a sentence. */
int fsmoe_trace_describe(const char *dir, const struct fsmoe_trace_info *info);
/* Reads it. -ENOENT, -EPROTO, ... with a sentence. */
int fsmoe_trace_info(const char *dir, struct fsmoe_trace_info *info);

/* Runs StarPU's tool in a process of its own, in `dir`: paje.trace, tasks.rec, dag.dot, data.rec,
 * activity.data, distrib.data, trace.rec, trace.html, and in starpu_fxt.log what it says. Ranks'
 * files that are missing or cut short are refused before, and a tasks.rec that has not every task
 * of the steps once after: -EPROTO with a sentence. */
int fsmoe_trace_convert(const char *dir, struct fsmoe_trace_info *info);

#endif
