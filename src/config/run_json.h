/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CONFIG_RUN_JSON_H
#define FSMOE_CONFIG_RUN_JSON_H

#include "config/config.h"

/* RUN/run.json: versions, ranks, layout, and the options of a run. For reports, and for `fsmoe
 * explain`, which builds the run's step again. */
struct fsmoe_run_description
{
	struct fsmoe_model_spec model;
	struct fsmoe_train_opts train;
	struct fsmoe_layout layout;
	int ranks, nodes, max_degree;
	char *schedule; /* --schedule; NULL: none */
};

/* Writes it; `versions` may be NULL. -EIO, ... */
int fsmoe_run_json_save(const char *path, const struct fsmoe_train_config *config,
			fsmoe_groups_t groups, json_t *versions);
/* Reads it; the caller frees the description. -ENOENT, ...; -EPROTO, -EINVAL with the file and what
 * is wrong with it. */
int fsmoe_run_json_load(struct fsmoe_run_description *description, const char *path);
void fsmoe_run_json_free(struct fsmoe_run_description *description);

#endif
