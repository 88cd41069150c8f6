/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CONFIG_CHECKPOINT_CONFIG_H
#define FSMOE_CONFIG_CHECKPOINT_CONFIG_H

#include "config/config.h"

/*
 * Model, training and run options as a checkpoint keeps them. The keys are those of a --config
 * file, from the one table of options, so that a new option is in checkpoints without a line here.
 * The caller frees what is returned.
 */
json_t *fsmoe_json_from_model(const struct fsmoe_model_spec *model);
json_t *fsmoe_json_from_training(const struct fsmoe_train_opts *opts);
json_t *fsmoe_json_from_run_options(const struct fsmoe_train_config *config);

/* Read an object. Strings become those of modules and choices, which are static: -EINVAL if this
 * fsmoe has none of that name. `json` is the file, for sentences. */
int fsmoe_json_to_model(const struct fsmoe_json *json, json_t *object,
			struct fsmoe_model_spec *model);
int fsmoe_json_to_training(const struct fsmoe_json *json, json_t *object,
			   struct fsmoe_train_opts *opts);

/* Writes the manifest's `run`, {"options": {...}, "plan": {...}}: run options, and the plan if
 * there is one. The caller frees the text. */
int fsmoe_json_from_run(const struct fsmoe_train_config *config, const struct fsmoe_plan *plan,
			char **run);
/* Read `run` (may be NULL) of the checkpoint at `path`. Without a plan *plan stays as it is;
 * options that are absent stay as they are; strings are static. */
int fsmoe_json_to_plan(const char *path, const char *run, struct fsmoe_plan *plan);
int fsmoe_json_to_run_options(const char *path, const char *run, struct fsmoe_train_config *config);

/* -EINVAL with the first value that differs, of those that the meaning of weights depends on. */
int fsmoe_model_spec_same(const char *path, const struct fsmoe_model_spec *stored,
			  const struct fsmoe_model_spec *model);

#endif
