/* SPDX-License-Identifier: Apache-2.0 */
#include "config/run_json.h"

#include "config/checkpoint_config.h"
#include "topo/topo.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "fsmoe run"

int fsmoe_run_json_save(const char *path, const struct fsmoe_train_config *config,
			fsmoe_groups_t groups, json_t *versions)
{
	fsmoe_topo_t topo = fsmoe_groups_topo(groups);
	const struct fsmoe_layout l = fsmoe_groups_layout(groups);
	json_t *root = json_pack(
		"{s:s, s:i, s:O*, s:i, s:i, s:{s:i, s:i, s:i, s:i}, s:s*, s:i, s:s*, s:s*, s:o, "
		"s:o, s:o}",
		"format", FORMAT, "version", 1, "versions", versions, "ranks",
		fsmoe_topo_ranks(topo), "nodes", fsmoe_topo_nodes(topo), "layout", "dp", l.dp, "tp",
		l.tp, "ep", l.ep, "esp", l.esp, "schedule", config->schedule, "max_degree",
		config->max_degree, "device", config->runtime.device, "dtype",
		config->runtime.dtype, "model", fsmoe_json_from_model(&config->model), "training",
		fsmoe_json_from_training(&config->train), "course",
		fsmoe_json_from_run_options(config));
	int err = root ? 0 : fsmoe_fail(ENOMEM, "no memory to describe the run");

	if (!err && json_dump_file(root, path, JSON_INDENT(2) | JSON_REAL_PRECISION(17)))
		err = fsmoe_fail(errno ? errno : EIO, "cannot write %s: %s", path, strerror(errno));
	json_decref(root);
	return err;
}

static int read_layout(const struct fsmoe_json *json, struct fsmoe_run_description *d)
{
	const char *format = NULL, *schedule = NULL;
	json_error_t error;

	d->layout.tp = -1;
	if (json_unpack_ex(json->root, &error, 0,
			   "{s:s, s:i, s:i, s:{s:i, s?:i, s?:i, s:i, s:i}, s?:s, s:i}", "format",
			   &format, "ranks", &d->ranks, "nodes", &d->nodes, "layout", "dp",
			   &d->layout.dp, "mp", &d->layout.tp, "tp", &d->layout.tp, "ep",
			   &d->layout.ep, "esp", &d->layout.esp, "schedule", &schedule,
			   "max_degree", &d->max_degree) ||
	    strcmp(format, FORMAT) != 0 || d->layout.tp < 0)
		return fsmoe_fail(EPROTO, "%s is no description of a run: %s", json->path,
				  format ? "its format is another" : error.text);
	if (d->ranks < 1 || d->nodes < 1 || d->ranks % d->nodes)
		return fsmoe_fail(EPROTO, "%s: %d ranks on %d nodes", json->path, d->ranks,
				  d->nodes);
	d->schedule = schedule ? strdup(schedule) : NULL;
	return 0;
}

int fsmoe_run_json_load(struct fsmoe_run_description *d, const char *path)
{
	struct fsmoe_json json;
	int err = fsmoe_json_load(&json, path);

	*d = (struct fsmoe_run_description){0};
	if (err)
		return err;
	err = read_layout(&json, d);
	if (!err)
		err = fsmoe_json_to_model(&json, json_object_get(json.root, "model"), &d->model);
	if (!err)
		err = fsmoe_json_to_training(&json, json_object_get(json.root, "training"),
					     &d->train);
	if (err)
		fsmoe_run_json_free(d);
	fsmoe_json_free(&json);
	return err;
}

void fsmoe_run_json_free(struct fsmoe_run_description *d)
{
	free(d->schedule);
	*d = (struct fsmoe_run_description){0};
}
