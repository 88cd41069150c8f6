/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_TRAINER_H
#define FSMOE_TRAIN_TRAINER_H

#include <fsmoe/train.h>

/* What a checkpoint keeps of a trainer besides its tensors. All local. */
fsmoe_runtime_t fsmoe_trainer_runtime(fsmoe_trainer_t trainer);
const struct fsmoe_train_opts *fsmoe_trainer_opts(fsmoe_trainer_t trainer);
uint64_t fsmoe_trainer_steps(fsmoe_trainer_t trainer); /* done */
/* As if `steps` steps of a run with this seed had been done. */
void fsmoe_trainer_restore(fsmoe_trainer_t trainer, uint64_t steps, uint64_t seed);

#endif
