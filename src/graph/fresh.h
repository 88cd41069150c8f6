/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_FRESH_H
#define FSMOE_FRESH_H

#include <fsmoe/graph.h>

/*
 * A step sets gradients to zero and then adds to them. Where the first to add is a kernel that can
 * as well write (FSMOE_FRESH), zeros and the first read of them are spared: the node that sets them
 * skips those elements, and the kernel is told. Found in a graph for those who run it; the graph
 * and its edges stay as they are.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct fsmoe_fresh_part
{
	size_t at, n; /* elements */
};

struct fsmoe_fresh_node
{
	char *access;                  /* by access: it is to be written; NULL: none */
	struct fsmoe_fresh_part *skip; /* of a node that sets zeros, by ascending place */
	int nskip;
};

struct fsmoe_fresh
{
	struct fsmoe_fresh_node *node;
	int n;
};

/* Only kernels on GPUs look: nodes without one are left alone. */
int fsmoe_fresh_find(struct fsmoe_fresh *fresh, fsmoe_graph_t graph);
void fsmoe_fresh_free(struct fsmoe_fresh *fresh);

#ifdef __cplusplus
}
#endif

#endif
