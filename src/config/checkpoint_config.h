/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CONFIG_CHECKPOINT_CONFIG_H
#define FSMOE_CONFIG_CHECKPOINT_CONFIG_H

#include "config/config.h"

/*
 * Model and training options as a manifest keeps them: the keys are those of a --config file,
 * from the one table of options, so that a new option is in checkpoints without a line here.
 */
json_t *fsmoe_json_from_model(const struct fsmoe_model_spec *model);
json_t *fsmoe_json_from_training(const struct fsmoe_train_opts *opts);

/* Strings become those of modules and choices, which are static: -EINVAL when this fsmoe has none
 * of that name. `json` is the file, for sentences. */
int fsmoe_json_to_model(const struct fsmoe_json *json, json_t *object,
			struct fsmoe_model_spec *model);
int fsmoe_json_to_training(const struct fsmoe_json *json, json_t *object,
			   struct fsmoe_train_opts *opts);

/* The course (config/config.h) and the plan, if there is one, as the manifest's `run`: {"options":
 * {...}, "plan": {...}}. The caller frees the text. */
int fsmoe_json_from_run_options(const struct fsmoe_train_config *config,
				const struct fsmoe_plan *plan, char **run);
/* The plan that `run` (may be NULL) holds; without one *plan stays as it is. */
int fsmoe_json_to_plan(const char *path, const char *run, struct fsmoe_plan *plan);
/* What `run` (may be NULL) holds of it goes into config; strings are static. */
int fsmoe_json_to_run_options(const char *path, const char *run, struct fsmoe_train_config *config);

/* -EINVAL with the first value that differs, of those on which the meaning of weights depends. */
int fsmoe_model_spec_same(const char *path, const struct fsmoe_model_spec *stored,
			  const struct fsmoe_model_spec *model);

#endif
