/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "config/manifest_options.h"

#include <errno.h>
#include <fsmoe/checkpoint.h>
#include <fsmoe/error.h>
#include <string.h>

/* That a preset asked for is the run's own; a checkpoint of another program names none. */
static int same_preset(const char *path, const struct fsmoe_checkpoint_info *info,
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
	return fsmoe_manifest_same_model(path, &info->model, &asked->model);
}

int fsmoe_train_config_follow(struct fsmoe_train_config *config, const char *path,
			      const char *preset)
{
	struct fsmoe_train_config course = *config;
	struct fsmoe_checkpoint_info info;
	int err;

	fsmoe_checkpoint_info_init(&info);
	if (!path || fsmoe_checkpoint_read_info(path, &info))
		return 0;
	course.preset = NULL;
	err = fsmoe_manifest_to_course(path, info.run, &course);
	if (!err && info.has_model)
		err = same_preset(path, &info, course.preset, config, preset);
	if (!err && info.has_model)
	{
		course.model = info.model;
		course.train = info.train;
		*config = course;
	}
	fsmoe_checkpoint_info_free(&info);
	return err;
}
