/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "checkpoint/resume.h"
#include "cli/planning.h"
#include "cli/train.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <string.h>

/* --- the dispatch ------------------------------------------------------------------------- */

/* Writes "flat 1.2 ms, 1dh not in the profile". */
static void list_times(const struct fsmoe_dispatch_times *times, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < times->n && used < size; i++)
	{
		const double ms = 1e3 * times->time[i].seconds;

		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
					 times->time[i].dispatch);
		if (used < size && ms < 0)
			used += (size_t)snprintf(text + used, size - used, " not in the profile");
		else if (used < size)
			used += (size_t)snprintf(text + used, size - used, " %.3g ms", ms);
	}
}

int run_dispatch(struct run *run)
{
	struct fsmoe_train_config *config = &run->config;
	struct fsmoe_dispatch_times times;
	struct fsmoe_schedule row;
	char text[256];
	int code, err;

	if (strcmp(config->model.dispatch, FSMOE_DISPATCH_AUTO))
		return FSMOE_EXIT_OK;
	code = cli_planning_row(config->schedule ? config->schedule : "fsmoe", &row);
	if (code)
		return code;
	err = fsmoe_train_choose_dispatch(&config->model, &times, run->groups, &config->train, &row,
					  run->profile, config->max_degree);
	if (err) /* -EINVAL: the model cannot be built, with any dispatch */
		return err == -EINVAL ? FSMOE_EXIT_USAGE : cli_exit(err, FSMOE_EXIT_RUN);
	run->eval_model.dispatch = config->model.dispatch;
	list_times(&times, text, sizeof(text));
	run_say(run, "dispatch %s: layers of a step are predicted to take %s",
		config->model.dispatch, text);
	return FSMOE_EXIT_OK;
}

/* --- a plan for people -------------------------------------------------------------------- */

const char *run_plan_chunks(const struct fsmoe_plan *plan, char text[RUN_PLAN_TEXT])
{
	char forward[CLI_DEGREE_TEXT], backward[CLI_DEGREE_TEXT];

	snprintf(text, RUN_PLAN_TEXT, "%s chunks forward, %s backward",
		 cli_degree_text(plan, 0, " to ", forward),
		 cli_degree_text(plan, 1, " to ", backward));
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
		 1e-6 * (double)plan->tail.bytes,
		 1e3 * fsmoe_train_plan_seconds(plan, run->config.train.micro_batches));
	return text;
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

/* --- where the plan comes from ------------------------------------------------------------ */

/* Loads --plan. */
static int load_plan(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;

	if (fsmoe_plan_load(&run->plan, config->plan))
		return FSMOE_EXIT_DATA;
	if (run->plan.layers == config->model.layers)
		return FSMOE_EXIT_OK;
	fsmoe_fail(EINVAL, "%s: the plan is of %d layers, the model has %d", config->plan,
		   run->plan.layers, config->model.layers);
	return FSMOE_EXIT_USAGE;
}

/* Takes the plan of the run that is resumed, unless another one is asked for. */
static int resume_plan(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const char *path = fsmoe_train_config_resumed(config);
	int other;

	if (!path || config->schedule || config->profile)
		return FSMOE_EXIT_OK;
	if (fsmoe_resume_plan(&run->plan, &other, path, run->groups, config->model.layers))
		return FSMOE_EXIT_DATA;
	if (other)
		run_say(run, "the plan in %s is of another layout: going on without one", path);
	return FSMOE_EXIT_OK;
}

/* A plan made for another device may have more chunks than this one takes. */
static int check_chunks(const struct run *run)
{
	const char *what = run->config.plan ? run->config.plan : "the checkpoint's plan";
	int most = 0;

	for (int i = 0; i < run->plan.layers; i++)
	{
		const struct fsmoe_plan_layer *layer = &run->plan.layer[i];

		most = layer->forward_degree > most ? layer->forward_degree : most;
		most = layer->backward_degree > most ? layer->backward_degree : most;
	}
	return fsmoe_train_config_check_chunks(&run->config, what, most) ? FSMOE_EXIT_USAGE
									 : FSMOE_EXIT_OK;
}

/* Finds --schedule, or the plan's schedule, or the default one for a profile. */
static int find_schedule(struct run *run)
{
	const char *name = run->config.schedule;

	if (!name && run->plan.layer)
		name = run->plan.schedule;
	if (!name && run->profile)
		name = "fsmoe";
	return name ? cli_planning_row(name, &run->row) : FSMOE_EXIT_OK;
}

static int make_plan(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	int err = fsmoe_train_plan(&run->plan, run->groups,
				   fsmoe_model_as_forward(&run->config.model), &config->train,
				   &run->row, run->profile, config->max_degree);

	return cli_exit(err, FSMOE_EXIT_RUN);
}

int run_plan(struct run *run)
{
	struct fsmoe_train_config *config = &run->config;
	char text[RUN_PLAN_TEXT];
	int code = config->plan ? load_plan(run) : resume_plan(run);

	if (!code)
		code = check_chunks(run);
	if (!code)
		code = find_schedule(run);
	if (!code && run->profile && !config->plan)
		code = make_plan(run);
	if (code)
		return code;
	if (*run->row.name)
		config->train.schedule = &run->row;
	if (run->plan.layer)
	{
		config->train.plan = &run->plan;
		run_say(run, "plan %s: %s", run->plan.schedule,
			run_plan_text(run, &run->plan, text));
	}
	else if (config->schedule)
		run_say(run, "schedule %s, without a plan: give --profile=FILE for one",
			run->row.name);
	return FSMOE_EXIT_OK;
}
