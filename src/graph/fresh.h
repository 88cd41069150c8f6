/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_FRESH_H
#define FSMOE_FRESH_H

#include <fsmoe/op.h>

/*
 * A step sets gradients to zero and then adds to them. Where the first to add is a kernel that can
 * as well write (FSMOE_FRESH), zeros and the first read of them are spared: the node that sets them
 * skips those elements, and the kernel is told. Found in a graph for those who run it; the graph
 * and its edges stay as they are.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* What runs on a GPU in a run in `real`; NULL: the node runs on the host. */
static inline fsmoe_cuda_fn fsmoe_cuda_kernel(const struct fsmoe_op *op, enum fsmoe_real real)
{
	return real == FSMOE_BF16 ? op->cuda_bf16 : op->cuda;
}

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

/* Of a run in `real`. Only kernels on GPUs look: nodes without one there are left alone. */
int fsmoe_fresh_find(struct fsmoe_fresh *fresh, fsmoe_graph_t graph, enum fsmoe_real real);
void fsmoe_fresh_free(struct fsmoe_fresh *fresh);

#ifdef __cplusplus
}
#endif

#endif
