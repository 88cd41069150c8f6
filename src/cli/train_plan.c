/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "cli/planning.h"
#include "cli/train.h"
#include "config/manifest_options.h"

#include <errno.h>
#include <fsmoe/checkpoint.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* --schedule, or what a plan was made for, or the one that a profile is planned for. */
static int find_row(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const char *name = config->schedule;

	if (!name && run->plan.layer)
		name = run->plan.schedule;
	if (!name && config->profile)
		name = "fsmoe";
	return name ? cli_planning_row(name, &run->row) : FSMOE_EXIT_OK;
}

static int same_layout(const struct run *run, const struct fsmoe_checkpoint_info *info)
{
	const struct fsmoe_layout *l = &info->layout;

	return info->ranks == fsmoe_topo_ranks(run->topo) &&
	       l->dp == fsmoe_group_size(run->groups, FSMOE_GROUP_DP) &&
	       l->tp == fsmoe_group_size(run->groups, FSMOE_GROUP_TP) &&
	       l->ep == fsmoe_group_size(run->groups, FSMOE_GROUP_EP) &&
	       l->esp == fsmoe_group_size(run->groups, FSMOE_GROUP_ESP);
}

static int make_plan(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	fsmoe_profile_t profile;
	int err = fsmoe_profile_load(&profile, config->profile);

	if (err)
		return FSMOE_EXIT_DATA;
	err = fsmoe_train_plan(&run->plan, run->groups, fsmoe_model_forward, &run->config.model,
			       &config->train, &run->row, profile, config->max_degree);
	fsmoe_profile_destroy(profile);
	return err == -ENODATA ? FSMOE_EXIT_DATA : err ? FSMOE_EXIT_RUN : FSMOE_EXIT_OK;
}

struct range
{
	int low, high;
};

static const char *range_text(const struct range *r, char *text, size_t size)
{
	snprintf(text, size, r->low == r->high ? "%d" : "%d to %d", r->low, r->high);
	return text;
}

static void widen(struct range *r, int degree)
{
	r->low = r->low == 0 || degree < r->low ? degree : r->low;
	r->high = degree > r->high ? degree : r->high;
}

double run_plan_seconds(const struct run *run, const struct fsmoe_plan *plan)
{
	return run->config.train.micro_batches * (plan->forward + plan->backward) +
	       plan->tail_seconds;
}

const char *run_plan_chunks(const struct fsmoe_plan *plan, char text[RUN_PLAN_TEXT])
{
	struct range forward = {0, 0}, backward = {0, 0};
	char range[2][32];

	for (int i = 0; i < plan->layers; i++)
	{
		widen(&forward, plan->layer[i].forward_degree);
		widen(&backward, plan->layer[i].backward_degree);
	}
	snprintf(text, RUN_PLAN_TEXT, "%s chunks forward, %s backward",
		 range_text(&forward, range[0], sizeof(range[0])),
		 range_text(&backward, range[1], sizeof(range[1])));
	return text;
}

const char *run_plan_text(const struct run *run, const struct fsmoe_plan *plan,
			  char text[RUN_PLAN_TEXT])
{
	char chunks[RUN_PLAN_TEXT];
	double moe = 0, dense = 0;

	for (int i = 0; i < plan->layers; i++)
	{
		moe += (double)plan->layer[i].moe.bytes;
		dense += (double)plan->layer[i].dense.bytes;
	}
	snprintf(text, RUN_PLAN_TEXT,
		 "%.96s; gradients %.3g MB beside experts, %.3g MB beside dense parts, %.3g MB at "
		 "the end; layers predicted to take %.3g ms",
		 run_plan_chunks(plan, chunks), 1e-6 * moe, 1e-6 * dense,
		 1e-6 * (double)plan->tail.bytes, 1e3 * run_plan_seconds(run, plan));
	return text;
}

static void say_plan(const struct run *run)
{
	char text[RUN_PLAN_TEXT];

	run_say(run, "plan %s: %s", run->plan.schedule, run_plan_text(run, &run->plan, text));
}

int run_plan_save(const struct run *run)
{
	char path[PATH_MAX];
	int err;

	if (!run->first || !run->config.output || !run->plan.layer)
		return 0;
	err = fsmoe_path_join(path, sizeof(path), run->config.output, "plan.json");
	return err ? err : fsmoe_plan_save(&run->plan, path);
}

/* The plan that a resumed run had, where nobody asks for another one. It is for a layout. */
static int resumed_plan(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const char *path = config->resume && !strcmp(config->resume, "latest") ? config->checkpoint
									       : config->resume;
	struct fsmoe_checkpoint_info info;
	struct fsmoe_plan plan = {0};
	int err;

	if (!path || config->schedule || config->profile || config->plan ||
	    fsmoe_checkpoint_read_info(path, &info))
		return 0; /* what cannot be read is said where all ranks load it */
	err = fsmoe_manifest_to_plan(path, info.run, &plan);
	if (!err && plan.layer && plan.layers == config->model.layers && same_layout(run, &info))
		run->plan = plan;
	else
	{
		if (plan.layer)
			run_say(run, "the plan in %s is of another layout: going on without one",
				path);
		fsmoe_plan_destroy(&plan);
	}
	fsmoe_checkpoint_info_free(&info);
	return err;
}

/* A plan made for another device may have more of them. */
static int check_chunks(const struct run *run)
{
	const char *what = run->config.plan ? run->config.plan : "the checkpoint's plan";
	struct range all = {0, 0};

	for (int i = 0; i < run->plan.layers; i++)
	{
		widen(&all, run->plan.layer[i].forward_degree);
		widen(&all, run->plan.layer[i].backward_degree);
	}
	return fsmoe_train_config_check_chunks(&run->config, what, all.high);
}

int run_plan(struct run *run)
{
	struct fsmoe_train_config *config = &run->config;
	int code = FSMOE_EXIT_OK;

	if (config->plan && fsmoe_plan_load(&run->plan, config->plan))
		return FSMOE_EXIT_DATA;
	if (config->plan && run->plan.layers != config->model.layers)
	{
		fsmoe_fail(EINVAL, "%s: the plan is of %d layers, the model has %d", config->plan,
			   run->plan.layers, config->model.layers);
		return FSMOE_EXIT_USAGE;
	}
	if (resumed_plan(run))
		return FSMOE_EXIT_DATA;
	if (check_chunks(run))
		return FSMOE_EXIT_USAGE;
	code = find_row(run);
	if (!code && config->profile && !config->plan)
		code = make_plan(run);
	if (code)
		return code;
	if (*run->row.name)
		config->train.schedule = &run->row;
	if (run->plan.layer)
	{
		config->train.plan = &run->plan;
		say_plan(run);
	}
	else if (config->schedule)
		run_say(run, "schedule %s, without a plan: give --profile=FILE for one",
			run->row.name);
	return FSMOE_EXIT_OK;
}
