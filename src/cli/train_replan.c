/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/planning.h"
#include "cli/train.h"
#include "train/agree.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* A plan that is predicted to gain less than this is not worth building a step for. */
#define LEAST_GAIN 0.01

/* The plan in force as the fresh profile has it, and the best one. */
static int make_plans(struct run *run, const struct fsmoe_schedule *row, fsmoe_profile_t fresh,
		      struct fsmoe_plan *old, struct fsmoe_plan *best)
{
	struct fsmoe_train_config *config = &run->config;
	fsmoe_comms_t comms = fsmoe_runtime_comms(run->runtime);
	int err = fsmoe_train_predict(old, run->groups, fsmoe_model_forward, &config->model,
				      &config->train, row, fresh);

	if (!err)
		err = fsmoe_train_plan(best, run->groups, fsmoe_model_forward, &config->model,
				       &config->train, row, fresh, config->max_degree);
	/* What is decided by them is decided alike. */
	if (!err)
		err = fsmoe_plan_agree(old, comms);
	return err ? err : fsmoe_plan_agree(best, comms);
}

/* The plan becomes the one in force. Nothing may look into the trainer's old step meanwhile. */
static int follow(struct run *run, const struct fsmoe_schedule *row, struct fsmoe_plan *best)
{
	int err;

	fsmoe_boundary_destroy(run->boundary);
	run->boundary = NULL;
	err = fsmoe_trainer_replan(run->trainer, fsmoe_model_forward, &run->config.model, row,
				   best);
	if (!err)
		err = fsmoe_boundary_create(&run->boundary, run->trainer, run->runtime);
	if (err)
		return err;
	fsmoe_plan_destroy(&run->plan);
	run->plan = *best;
	*best = (struct fsmoe_plan){0};
	fsmoe_flops_count(fsmoe_trainer_graph(run->trainer), &run->flops);
	return run_plan_save(run);
}

static int find_row(const struct run *run, struct fsmoe_schedule *row)
{
	const struct fsmoe_schedule *found =
		*run->row.name ? &run->row : fsmoe_schedule_find(run->plan.schedule);

	if (found)
		*row = *found;
	return found ? 0 : -ENOENT;
}

static int copy_plan(struct fsmoe_plan *copy, const struct fsmoe_plan *plan)
{
	const size_t bytes = (size_t)plan->layers * sizeof(*plan->layer);

	*copy = *plan;
	copy->layer = malloc(bytes + 1);
	if (!copy->layer)
		return fsmoe_fail(ENOMEM, "no memory for a plan of %d layers", plan->layers);
	memcpy(copy->layer, plan->layer, bytes);
	return 0;
}

int run_replan(struct run *run, const char *why, fsmoe_profile_t fresh)
{
	const double promised = 1e3 * run_plan_seconds(run, &run->plan);
	struct fsmoe_plan old, best = {0};
	struct fsmoe_schedule row;
	char was[RUN_PLAN_TEXT], is[RUN_PLAN_TEXT];
	int err = copy_plan(&old, &run->plan);

	if (!err)
		err = find_row(run, &row);
	if (!err)
		err = make_plans(run, &row, fresh, &old, &best);
	if (!err && run_plan_seconds(run, &best) > (1 - LEAST_GAIN) * run_plan_seconds(run, &old))
		run_say(run,
			"step %d: %s; planned anew, the plan stays: layers predicted to take %.3g "
			"ms, by the old profile %.3g ms",
			run->step, why, 1e3 * run_plan_seconds(run, &old), promised);
	else if (!err)
	{
		run_plan_chunks(&old, was);
		run_plan_text(run, &best, is);
		err = follow(run, &row, &best);
		if (!err)
			run_say(run,
				"step %d: %s; planned anew: %s; before: %s, %.3g ms (%.3g ms by "
				"the old profile)",
				run->step, why, is, was, 1e3 * run_plan_seconds(run, &old),
				promised);
	}
	fsmoe_plan_destroy(&old);
	fsmoe_plan_destroy(&best);
	return err;
}
