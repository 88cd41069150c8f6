/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BIND_H
#define FSMOE_BIND_H

#include <fsmoe/graph.h>
#include <hwloc.h>

/*
 * Which cores this rank's threads get. Two ranks whose polling threads share a core cost each
 * other dearly; where there are enough cores, every worker gets one of its own and may poll, all
 * other threads (the caller's, the BLAS library's) stay in the rank's share, and where there are
 * not, nothing is bound and idle threads sleep.
 */
struct fsmoe_binding
{
	int cores;              /* this rank's share, at least 1: so many BLAS threads */
	int bound;              /* 1: core[] holds */
	int core[FSMOE_NLANES]; /* logical number, by lane */
	int gpu_core;           /* of the thread that drives the GPU, where there is one */
	hwloc_topology_t topology;
	hwloc_bitmap_t before; /* what the process was bound to; NULL: left as it is */
};

/* Cores that the process may use, cut evenly over the ranks of this host; the threads that there
 * are now are bound to the rank's share until the release. `wanted` 0: do not bind. */
int fsmoe_binding_take(struct fsmoe_binding *binding, int host_rank, int host_size, int wanted);
void fsmoe_binding_release(struct fsmoe_binding *binding);

/* Threads of the BLAS library, where it can be told. */
void fsmoe_blas_threads(int n);

#endif
