/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_EVAL_H
#define FSMOE_TRAIN_EVAL_H

#include "data/data.h"
#include "data/objective.h"

#include <fsmoe/train.h>

/*
 * The loss on data that is not trained on: a forward graph of its own, whose parameters are those
 * of the training step. Everything here is collective over the job, between two steps.
 */
struct fsmoe_eval;

/* `forward`, `arg` as for the trainer, but nothing should be dropped: where experts have few
 * slots, whether a token is dropped depends on later ones. batch as fsmoe_train_opts has
 * it; `share` holds the parameters and outlives the result. */
int fsmoe_eval_create(struct fsmoe_eval **eval, fsmoe_runtime_t runtime, fsmoe_forward_fn forward,
		      void *arg, int batch, const struct fsmoe_objective *objective,
		      fsmoe_memory_t share);
void fsmoe_eval_destroy(struct fsmoe_eval *eval); /* NULL is legal */

struct fsmoe_eval_result
{
	double loss; /* mean over `tokens`, in nats */
	size_t tokens;
	double seconds;
};

/* The windows of a split; `samples` of them evenly spread, 0: all. -ENODATA: there is none. */
int fsmoe_eval_run(struct fsmoe_eval *eval, const struct fsmoe_data *data, enum fsmoe_split split,
		   size_t samples, struct fsmoe_eval_result *result);

#endif
