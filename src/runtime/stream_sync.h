/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_STREAM_SYNC_H
#define FSMOE_STREAM_SYNC_H

#include <fsmoe/graph.h>

/*
 * Where lanes must wait for each other, when each lane runs its nodes in one order: an edge inside
 * a lane is the lane's own order; of the edges from another lane only the latest counts, and none
 * that the lane has waited for already.
 */
struct fsmoe_stream_sync
{
	int (*on)[FSMOE_NLANES]; /* by node: the node of another lane that it waits for; -1 */
	char *awaited;           /* by node: another lane waits for it */
};

/* order: all nodes, such that every edge points forward; NULL: the program's. */
int fsmoe_stream_sync_plan(struct fsmoe_stream_sync *waits, fsmoe_graph_t graph, const int *order);
/*
 * The order in which lanes should run: the program's, but what only fills gaps (a negative
 * priority) goes before a compute node that waits for communication as soon as it can. So the
 * weight gradients of experts run while the last gradients of their inputs travel. A function of
 * the program alone: all ranks move the same nodes, and communication keeps its order, so nobody
 * waits in a circle. The caller frees it.
 */
int fsmoe_stream_sync_order(int **order, fsmoe_graph_t graph);
void fsmoe_stream_sync_free(struct fsmoe_stream_sync *waits);

#endif
