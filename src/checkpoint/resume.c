/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/resume.h"

#include "config/checkpoint_config.h"
#include "topo/topo.h"

#include <errno.h>
#include <fsmoe/checkpoint.h>
#include <fsmoe/error.h>
#include <inttypes.h>
#include <string.h>

/* Checks that the preset asked for is the run's own. The checkpoint of another program names
 * none: then the models are compared. */
static int check_preset(const char *path, const struct fsmoe_checkpoint_info *info,
			const char *began, const struct fsmoe_train_config *asked,
			const char *preset)
{
	if (!preset || (began && !strcmp(began, preset)))
		return 0;
	if (began)
		return fsmoe_fail(
			EINVAL,
			"%s is of a run that began with --preset=%s: give that one instead "
			"of %s, or none",
			path, began, preset);
	return fsmoe_model_spec_same(path, &info->model, &asked->model);
}

int fsmoe_resume_config(struct fsmoe_train_config *config, const char *path, const char *preset)
{
	struct fsmoe_train_config resumed = *config;
	struct fsmoe_checkpoint_info info;
	int err;

	if (!path || fsmoe_checkpoint_read_info(path, &info))
		return 0;
	resumed.preset = NULL;
	err = fsmoe_json_to_run_options(path, info.run, &resumed);
	if (!err && info.has_model)
		err = check_preset(path, &info, resumed.preset, config, preset);
	if (!err && info.has_model)
	{
		resumed.model = info.model;
		resumed.train = info.train;
		*config = resumed;
	}
	fsmoe_checkpoint_info_free(&info);
	return err;
}

static int same_layout(const struct fsmoe_checkpoint_info *info, fsmoe_groups_t groups)
{
	const struct fsmoe_layout a = info->layout, b = fsmoe_groups_layout(groups);

	return info->ranks == fsmoe_group_size(groups, FSMOE_GROUP_WORLD) && a.dp == b.dp &&
	       a.tp == b.tp && a.ep == b.ep && a.esp == b.esp;
}

int fsmoe_resume_plan(struct fsmoe_plan *plan, int *other, const char *path, fsmoe_groups_t groups,
		      int layers)
{
	struct fsmoe_checkpoint_info info;
	struct fsmoe_plan stored = {0};
	int err;

	*other = 0;
	if (fsmoe_checkpoint_read_info(path, &info))
		return 0; /* loading reports it, on all ranks */
	err = fsmoe_json_to_plan(path, info.run, &stored);
	if (!err && stored.layer && stored.layers == layers && same_layout(&info, groups))
		*plan = stored;
	else
	{
		*other = stored.layer != NULL;
		fsmoe_plan_destroy(&stored);
	}
	fsmoe_checkpoint_info_free(&info);
	return err;
}

int fsmoe_resume_check_empty(const char *folder)
{
	struct fsmoe_checkpoint_info info;
	int err = fsmoe_checkpoint_read_info(folder, &info);

	if (err)
		return err == -ENOENT ? 0 : err;
	err = fsmoe_fail(EEXIST,
			 "%s holds step %" PRIu64 " of an earlier run: go on with it by "
			 "--resume=latest, or give another --checkpoint",
			 folder, info.step);
	fsmoe_checkpoint_info_free(&info);
	return err;
}
