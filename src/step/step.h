/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_STEP_H
#define FSMOE_STEP_H

#include <fsmoe/train.h>

/*
 * One training step as a graph: the forward and backward of every micro-batch, the exchange of
 * gradients, their norm, the optimizer.
 */
struct fsmoe_step_graph
{
	fsmoe_graph_t graph;
	struct fsmoe_batch_spec *batch; /* of each micro-batch: its inputs */
	int micro_batches;
	fsmoe_tensor_t loss;      /* (1), summed over all ranks */
	fsmoe_tensor_t auxiliary; /* (1), auxiliary losses over all ranks; FSMOE_NONE: none */
	/* (1), squared norm of the global gradient. It is set to NaN before a step, so that a rank
	 * that fails on its way to the norm passes NaN to all ranks and no rank updates. */
	fsmoe_tensor_t norm2;
};

/* Builds the graph of one step. -EINVAL: the batch does not divide; or the error of the forward
 * function. */
int fsmoe_step_create(struct fsmoe_step_graph *step, fsmoe_groups_t groups,
		      struct fsmoe_forward forward, const struct fsmoe_train_opts *opts);
void fsmoe_step_destroy(struct fsmoe_step_graph *step);

/* Reads a step's costs off its graph, with one chunk a layer and its weight gradients apart. Every
 * rank reads the graph of the first rank: what a node's leader alone does (dispatch 1dh) is then in
 * all plans, and all plans are equal. The caller frees problem->layer, also after a failure.
 * -EINVAL: the step cannot be built; -ENODATA names the line that the profile lacks. Local. */
int fsmoe_step_problem(struct fsmoe_plan_problem *problem, fsmoe_groups_t groups,
		       struct fsmoe_forward forward, const struct fsmoe_train_opts *opts,
		       fsmoe_profile_t profile);

#endif
