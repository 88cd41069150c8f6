/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_WAITS_H
#define FSMOE_WAITS_H

#include <fsmoe/graph.h>

/*
 * Where lanes must wait for each other, when each lane runs its nodes in program order: an edge
 * inside a lane is the lane's own order; of the edges from another lane only the latest counts, and
 * none that the lane has waited for already.
 */
struct fsmoe_waits
{
	int (*on)[FSMOE_NLANES]; /* by node: the node of another lane that it waits for; -1 */
	char *awaited;           /* by node: another lane waits for it */
};

int fsmoe_waits_plan(struct fsmoe_waits *waits, fsmoe_graph_t graph);
void fsmoe_waits_free(struct fsmoe_waits *waits);

#endif
