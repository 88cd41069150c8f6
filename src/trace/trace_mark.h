/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRACE_MARK_H
#define FSMOE_TRACE_MARK_H

#include <stdint.h>

/*
 * In the file of a rank: moves libstarpumpi's mark, recorded between the times `after` and
 * `before`, to the time `when`. StarPU takes the marks of all ranks for one moment, but each is
 * recorded when its rank gets a core after a barrier, and that may be milliseconds later. Returns
 * 1 if there was that mark; 0: the file is as it was.
 */
int fsmoe_trace_move_mark(int dirfd, const char *name, int rank, int ranks, int64_t after,
			  int64_t before, int64_t when);

#endif
