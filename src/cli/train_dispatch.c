/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/planning.h"
#include "cli/train.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <stdio.h>
#include <string.h>

/*
 * --dispatch=auto: a step is planned with every dispatch there is, and the one with the shortest
 * prediction is taken, of equals the first in the list. Every rank computes the same from the same
 * profile; that all have the same is seen where plans and programs are compared.
 */

/* What the layers of a step take with one dispatch; -ENODATA: the profile lacks a line for it. */
static int predict(const struct run *run, const char *dispatch, const struct fsmoe_schedule *row,
		   fsmoe_profile_t profile, double *seconds)
{
	struct fsmoe_model_spec model = run->config.model;
	struct fsmoe_plan plan = {0};
	int err;

	model.dispatch = dispatch;
	err = fsmoe_train_plan(&plan, run->groups, fsmoe_model_forward, &model, &run->config.train,
			       row, profile, run->config.max_degree);
	*seconds = run_plan_seconds(run, &plan);
	fsmoe_plan_destroy(&plan);
	return err;
}

static int choose(struct run *run, const struct fsmoe_schedule *row, fsmoe_profile_t profile)
{
	struct fsmoe_module_info all[32];
	const char *best = NULL;
	char others[256] = "";
	double least = 0, seconds;
	int n = 32, err = 0;

	fsmoe_module_list(FSMOE_MODULE_DISPATCH, all, &n);
	for (int i = 0; i < n && i < 32; i++)
	{
		const size_t used = strlen(others);

		err = predict(run, all[i].name, row, profile, &seconds);
		if (err && err != -ENODATA)
			return err;
		if (err)
			snprintf(others + used, sizeof(others) - used, "%s%s not in the profile",
				 used ? ", " : "", all[i].name);
		else
			snprintf(others + used, sizeof(others) - used, "%s%s %.3g ms",
				 used ? ", " : "", all[i].name, 1e3 * seconds);
		if (!err && (!best || seconds < least))
		{
			best = all[i].name;
			least = seconds;
		}
	}
	if (!best)
		return err;
	run->config.model.dispatch = run->eval_model.dispatch = best;
	run_say(run, "dispatch %s: layers of a step are predicted to take %s", best, others);
	return 0;
}

int run_dispatch(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	struct fsmoe_schedule row;
	fsmoe_profile_t profile;
	int err, code;

	if (strcmp(config->model.dispatch, FSMOE_DISPATCH_AUTO))
		return FSMOE_EXIT_OK;
	code = cli_planning_row(config->schedule ? config->schedule : "fsmoe", &row);
	if (code)
		return code;
	if (fsmoe_profile_load(&profile, config->profile))
		return FSMOE_EXIT_DATA;
	err = choose(run, &row, profile);
	fsmoe_profile_destroy(profile);
	/* -EINVAL: the model cannot be built, with any. */
	return err == -ENODATA  ? FSMOE_EXIT_DATA
	       : err == -EINVAL ? FSMOE_EXIT_USAGE
	       : err            ? FSMOE_EXIT_RUN
				: FSMOE_EXIT_OK;
}
