/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MODEL_FORWARD_H
#define FSMOE_MODEL_FORWARD_H

#include <fsmoe/model.h>

/* This rank's share of micro-batch i of n of a global batch of `batch` sequences, of whose tokens
 * `targets` (0: all) count in the loss. The inputs are not made yet. */
struct fsmoe_batch_spec fsmoe_batch_share(fsmoe_groups_t groups, int batch, int seq, int targets,
					  int i, int n);

/* Appends the inputs of a batch, named by the micro-batch (-1: none), and its forward. Sets
 * batch->tokens and batch->targets; returns the loss. */
fsmoe_tensor_t fsmoe_forward_append(fsmoe_graph_t graph, struct fsmoe_batch_spec *batch,
				    int micro_batch, struct fsmoe_forward forward);

/* The graph of one forward pass: for evaluation, generation and counting. */
struct fsmoe_forward_graph
{
	fsmoe_graph_t graph;
	struct fsmoe_batch_spec batch;
	fsmoe_tensor_t out; /* the loss (1), or the logits (rows, V) */
};

/* Builds the graph of a batch as fsmoe_batch_share makes it. Fails as building does, with nothing
 * left to free; the caller destroys graph->graph. */
int fsmoe_forward_graph_create(struct fsmoe_forward_graph *graph, fsmoe_groups_t groups,
			       const struct fsmoe_batch_spec *batch, struct fsmoe_forward forward);
/* Builds the graph of the logits of one sequence, without targets. */
int fsmoe_forward_graph_logits(struct fsmoe_forward_graph *graph, fsmoe_groups_t groups,
			       const struct fsmoe_model_spec *spec);

#endif
