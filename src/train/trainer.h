/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_TRAINER_H
#define FSMOE_TRAIN_TRAINER_H

#include "step/step.h"
#include "train/expert_load.h"

#include <fsmoe/train.h>

/* Creates a trainer with a step's graph that fsmoe_step_create has built with the same arguments
 * (NULL: none yet). The trainer owns the graph from now on, also on failure. */
int fsmoe_trainer_create_from(fsmoe_trainer_t *trainer, fsmoe_runtime_t runtime,
			      struct fsmoe_step_graph *step, struct fsmoe_forward forward,
			      const struct fsmoe_train_opts *opts);

/* Between two steps: adds up, in one small sum, the ranks that were asked to stop and the tokens of
 * each expert. *load is the trainer's until the next meeting or replanning. Collective over the
 * job. */
int fsmoe_trainer_meet(fsmoe_trainer_t trainer, int stop, int *stops,
		       struct fsmoe_expert_load *load);

/* The forward that it was made with. Local. */
struct fsmoe_forward fsmoe_trainer_forward(fsmoe_trainer_t trainer);

/* For checkpoints; local. */
fsmoe_runtime_t fsmoe_trainer_runtime(fsmoe_trainer_t trainer);
const struct fsmoe_train_opts *fsmoe_trainer_opts(fsmoe_trainer_t trainer);
/* Continues as if `steps` steps of a run with this seed had been done. */
void fsmoe_trainer_restore(fsmoe_trainer_t trainer, uint64_t steps, uint64_t seed);

#endif
