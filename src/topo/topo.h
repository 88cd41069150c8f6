/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_SRC_TOPO_H
#define FSMOE_SRC_TOPO_H

#include <fsmoe/topo.h>

struct fsmoe_mpi; /* src/topo/mpi.h */

/* What happens in fsmoe_topo_destroy(), in this order; told to the watchdog. */
enum fsmoe_topo_end
{
	FSMOE_END_LEAVING,    /* about to wait for the other ranks */
	FSMOE_END_FINALIZING, /* from the return on, nobody else may call MPI */
	FSMOE_END_GONE,       /* MPI is finalized where it was ours; the topology is freed next */
};

struct fsmoe_topo
{
	int ranks, nodes, rank;
	int is_job;
	int host_rank, host_size; /* of this process among the ranks of its host */
	struct fsmoe_mpi *mpi;    /* NULL: synthetic, or a program that mpirun did not start */
	void (*at_end)(enum fsmoe_topo_end stage, void *arg);
	void *at_end_arg;
};

/* A description's text as nodes and devices of each. `path` (may be NULL) is the file it came
 * from, for the sentence. */
int fsmoe_topo_parse(const char *text, const char *path, int *nodes, int *devices);
/* The same from a file. */
int fsmoe_topo_parse_file(const char *path, int *nodes, int *devices);

/* This process among the ranks of its host, whatever `nodes` pretended: for binding to cores. */
int fsmoe_topo_host_rank(fsmoe_topo_t topo);
int fsmoe_topo_host_size(fsmoe_topo_t topo);

/* The same groups as another rank sees them: for graphs that all ranks are to build alike. Local;
 * fsmoe_groups_destroy when done. NULL stays NULL. */
int fsmoe_groups_of_rank(fsmoe_groups_t *of, fsmoe_groups_t groups, int rank);

/* Sizes of the groups of a layout that was completed: none is 0. */
struct fsmoe_layout fsmoe_groups_layout(fsmoe_groups_t groups);

/* One listener per topology: told of the stages above by the thread that destroys it. NULL takes
 * it away. -EBUSY when there is one. */
int fsmoe_topo_at_end(fsmoe_topo_t topo, void (*fn)(enum fsmoe_topo_end stage, void *arg),
		      void *arg);

#endif
