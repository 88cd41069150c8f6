/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TOPO_H
#define FSMOE_TOPO_H

#include <stddef.h>

/*
 * Machines and process groups: which ranks exist, on which nodes, and which of them form the
 * data-, model-, expert- and shard-parallel groups. Pure arithmetic once the machine is known,
 * so groups can be made for machines nobody owns.
 */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsmoe_topo *fsmoe_topo_t;
typedef struct fsmoe_groups *fsmoe_groups_t;
typedef struct fsmoe_comms *fsmoe_comms_t; /* a communicator a group: fsmoe_runtime_comms */

/*
 * Creates the topology of a machine: its ranks, and the nodes that they form.
 *
 * `description` is one of
 *
 * - NULL: this MPI job. Initializes MPI with MPI_THREAD_MULTIPLE if nobody has. Collective over
 *   the job. The ranks of one host form a node.
 * - "node:6 gpu:8": a synthetic machine of 6 nodes with 8 GPUs each ("cpu" and "device" are
 *   synonyms of "gpu"; an omitted count is 1). Local. Its rank is 0 until fsmoe_groups_create()
 *   chooses another.
 * - "file:PATH": a file with such a description; '#' starts a comment.
 *
 * If `nodes` > 0, the ranks are divided into that many equal nodes instead, so one host can stand
 * for several. The caller owns *topo and destroys it after the groups made from it.
 *
 * Errors: -EINVAL for a bad description (the message names the token), if `nodes` is negative or
 * does not divide the ranks, or if the hosts do not hold equally many consecutive ranks; -ENOENT
 * or -EIO for the file; -ENOMEM; MPI's errors.
 */
int fsmoe_topo_create(fsmoe_topo_t *topo, const char *description, int nodes);
void fsmoe_topo_destroy(fsmoe_topo_t topo); /* after the groups made from it; NULL is legal */

int fsmoe_topo_ranks(fsmoe_topo_t topo); /* ranks in all */
int fsmoe_topo_nodes(fsmoe_topo_t topo);
int fsmoe_topo_rank(fsmoe_topo_t topo);   /* this process; 0 on a synthetic machine */
int fsmoe_topo_is_job(fsmoe_topo_t topo); /* 1 when the machine is this MPI job */

/* Process groups. A rank's coordinates, tensor-parallel fastest:
 *   rank = dp * TP + tp  = (edp * EP + ep) * ESP + esp
 */
enum fsmoe_group
{
	FSMOE_GROUP_WORLD, /* all ranks: gradients of what every rank replicates */
	FSMOE_GROUP_DP,    /* same model shard, other data: gradients of dense shards */
	FSMOE_GROUP_TP,    /* same data, other heads; the sequence is split over it */
	FSMOE_GROUP_EP,    /* AlltoAll of tokens: other experts, same shard */
	FSMOE_GROUP_ESP,   /* same experts, other shards: AllGather, ReduceScatter */
	FSMOE_GROUP_EDP,   /* same experts and shard, other data: gradients of experts */
	/* An EP group that has several ranks on each of several nodes is nodes x places, for
	 * AlltoAlls in two stages; the first member of a node has place 0. Anywhere else both have
	 * size 1. */
	FSMOE_GROUP_EP_NODE, /* its ranks on one node */
	FSMOE_GROUP_EP_RAIL, /* its ranks with one place, over the nodes */
	FSMOE_NGROUPS
};

/* Degrees of parallelism; 0 = default as in the paper, where TP is called MP: tp = esp = devices
 * of a node, ep = dp = nodes. They must tile: dp * tp = ranks, (ep * esp) divides ranks. */
struct fsmoe_layout
{
	int dp, tp, ep, esp;
	int rank; /* whose groups, on a synthetic machine; ignored for a job */
};

/* -EINVAL when the degrees do not tile the ranks. The topology is kept by reference. */
int fsmoe_groups_create(fsmoe_groups_t *groups, fsmoe_topo_t topo,
			const struct fsmoe_layout *layout);
void fsmoe_groups_destroy(fsmoe_groups_t groups);

/* All of these accept groups == NULL: one rank, every group of size 1. */
int fsmoe_group_size(fsmoe_groups_t groups, enum fsmoe_group kind);
int fsmoe_group_rank(fsmoe_groups_t groups,
		     enum fsmoe_group kind); /* this rank's place in its group */
/* 1 when any group of that kind spans nodes (the same answer on every rank). */
int fsmoe_group_spans_nodes(fsmoe_groups_t groups, enum fsmoe_group kind);
const char *fsmoe_group_name(enum fsmoe_group kind); /* "dp", "tp", ... */
/* Ranks of `rank`'s group in group order; *n is capacity in, total out. */
int fsmoe_groups_members(fsmoe_groups_t groups, enum fsmoe_group kind, int rank, int *ranks,
			 int *n);
fsmoe_topo_t fsmoe_groups_topo(fsmoe_groups_t groups);

#ifdef __cplusplus
}
#endif
#endif
