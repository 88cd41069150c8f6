/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_EVAL_H
#define FSMOE_TRAIN_EVAL_H

#include "data/data.h"
#include "data/objective.h"
#include "model/forward.h"

#include <fsmoe/train.h>

/*
 * The loss on held-out data: a forward graph of its own that uses the parameters of the training
 * step. Everything here is collective over the job, between two steps, unless it says otherwise.
 */
struct fsmoe_eval;

/* Builds the graph of a batch of `batch` sequences; local. `forward` as for the trainer, but no
 * token should be dropped: with few slots, whether a token is dropped depends on later ones. The
 * caller destroys graph->graph, or gives the graph to fsmoe_eval_create. */
int fsmoe_eval_graph(struct fsmoe_forward_graph *graph, fsmoe_groups_t groups,
		     struct fsmoe_forward forward, int batch,
		     const struct fsmoe_objective *objective);

/* Makes an evaluation of the graph, which it owns from now on, also on failure. batch and objective
 * as the graph was built with; `share` holds the parameters and must outlive the evaluation. */
int fsmoe_eval_create(struct fsmoe_eval **eval, fsmoe_runtime_t runtime,
		      struct fsmoe_forward_graph *graph, int batch,
		      const struct fsmoe_objective *objective, fsmoe_memory_t share);
void fsmoe_eval_destroy(struct fsmoe_eval *eval); /* NULL is legal */

struct fsmoe_eval_result
{
	double loss; /* mean over `tokens`, in nats */
	size_t tokens;
	double seconds;
};

/* Evaluates `samples` evenly spread windows of a split; 0: all. -ENODATA: it has none. */
int fsmoe_eval_run(struct fsmoe_eval *eval, const struct fsmoe_data *data, enum fsmoe_split split,
		   size_t samples, struct fsmoe_eval_result *result);

#endif
