/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_STEP_GRADIENTS_H
#define FSMOE_STEP_GRADIENTS_H

#include <fsmoe/plan.h>

/*
 * The exchange of gradients of one step. Buckets form a flat list, in the order in which the last
 * micro-batch's backward completes them. At every gap a plan takes the next bytes of the list, cut
 * by elements and not by parameters. Sums are taken element by element in group order, so no cut
 * changes a value.
 */
struct fsmoe_gradients
{
	fsmoe_graph_t graph;
	const struct fsmoe_plan *plan; /* NULL: the schedule's rule, without knowing what fits */
	struct fsmoe_gradients_bucket *bucket;
	int n;
	int layers;
	char *taken; /* by layer and gap */
};

/* Starts to fill the graph's gaps. Call it between the forward of the last micro-batch, whose first
 * node is `first`, and its backward. The arguments must outlive fsmoe_gradients_end. */
int fsmoe_gradients_begin(struct fsmoe_gradients *gradients, fsmoe_graph_t graph, int first,
			  const struct fsmoe_plan *plan);
/* Appends the exchange of the remaining gradients, and frees the list. Call it also if the graph
 * has failed. */
int fsmoe_gradients_end(struct fsmoe_gradients *gradients);

#endif
