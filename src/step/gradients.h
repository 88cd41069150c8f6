/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_STEP_GRADIENTS_H
#define FSMOE_STEP_GRADIENTS_H

#include <fsmoe/plan.h>

/*
 * The exchange of gradients of one step: a flat list of buckets in the order in which the last
 * micro-batch's backward completes them, of which a plan takes so many bytes at every place that it
 * knows, cut by elements and not by parameters. Sums are taken element by element in group order,
 * so no cut changes a value.
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

/* After the forward of the last micro-batch, whose first node is `first`, and before its backward:
 * from now on the graph's gaps are filled. What it points to must outlive fsmoe_gradients_end. */
int fsmoe_gradients_begin(struct fsmoe_gradients *gradients, fsmoe_graph_t graph, int first,
			  const struct fsmoe_plan *plan);
/* Appends the exchange of what is left, and frees. Also when the graph has failed. */
int fsmoe_gradients_end(struct fsmoe_gradients *gradients);

#endif
