/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_PARALLEL_H
#define FSMOE_BASE_PARALLEL_H

#include <stddef.h>

/* Calls run(arg, lo, hi) for parts that together are [0, n), on as many threads at once as this
 * process may use cores, each part of `least` elements or more. Returns when all of them have.
 * Below 2 * least it is one call on this thread. For work before a run, not in a step: it makes
 * threads. */
void fsmoe_parallel(size_t n, size_t least, void (*run)(void *arg, size_t lo, size_t hi),
		    void *arg);

#endif
