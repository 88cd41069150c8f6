/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CONFIG_RUN_JSON_H
#define FSMOE_CONFIG_RUN_JSON_H

#include "config/config.h"

/*
 * RUN/run.json: what a run was of: versions, ranks and layout, the options of model, training and
 * course. For reports, and for `fsmoe explain`, which builds the run's step again.
 */
struct fsmoe_run_description
{
	struct fsmoe_model_spec model;
	struct fsmoe_train_opts train;
	struct fsmoe_layout layout;
	int ranks, nodes, max_degree;
	char *schedule; /* as --schedule had it; NULL: none */
};

/* `versions` (may be NULL) is kept as it is. -EIO, ... with a sentence. */
int fsmoe_run_json_save(const char *path, const struct fsmoe_train_config *config,
			fsmoe_groups_t groups, json_t *versions);
/* -ENOENT, ...; -EPROTO, -EINVAL with the file and what is wrong with it. Free it afterwards. */
int fsmoe_run_json_load(struct fsmoe_run_description *description, const char *path);
void fsmoe_run_json_free(struct fsmoe_run_description *description);

#endif
