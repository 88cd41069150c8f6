/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CHECKPOINT_RESUME_H
#define FSMOE_CHECKPOINT_RESUME_H

#include "config/config.h"

/* The rules by which a resumed run continues. All local. */

/* Replaces model, training and run options by those of the checkpoint at `path` (NULL: none).
 * `preset` is the preset that was asked for, or NULL: -EINVAL if the run began with another one. A
 * checkpoint that cannot be read changes nothing here; loading it reports the failure on all ranks.
 * For fsmoe_train_config_load. */
int fsmoe_resume_config(struct fsmoe_train_config *config, const char *path, const char *preset);

/* Reads the plan of the checkpoint at `path`. *plan stays without layers if there is none, or if it
 * was made for another number of layers or another layout than `groups`; then *other is 1. The
 * caller destroys the plan. */
int fsmoe_resume_plan(struct fsmoe_plan *plan, int *other, const char *path, fsmoe_groups_t groups,
		      int layers);

/* -EEXIST if `folder` holds checkpoints of an earlier run: a new run would continue or remove
 * them. */
int fsmoe_resume_check_empty(const char *folder);

#endif
