/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/introspect.h"
#include "train/plan_agree.h"
#include "train/trainer.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/measure.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fsmoe_replanner
{
	fsmoe_trainer_t trainer;
	struct fsmoe_plan *plan, before; /* in force; the one before it */
	struct fsmoe_replan_opts opts;
	struct fsmoe_schedule schedule; /* opts.schedule points here, or is NULL */
	fsmoe_profile_t given, fresh;   /* fresh: NULL until tasks have drifted */
	fsmoe_drift_t drift;
	int reported;  /* drift was reported; once is enough until it is gone */
	int every;     /* steps from the last check to the next */
	uint64_t next; /* step of the next check */
};

void fsmoe_replan_opts_init(struct fsmoe_replan_opts *opts)
{
	*opts = (struct fsmoe_replan_opts){.size = sizeof(*opts),
					   .bound = 0.25,
					   .least_gain = 0.01,
					   .every = 10,
					   .rarest = 640,
					   .max_degree = 8};
}

double fsmoe_train_plan_seconds(const struct fsmoe_plan *plan, int micro_batches)
{
	return micro_batches * (plan->forward + plan->backward) + plan->tail_seconds;
}

/* Reads every line that predicting a step needs: at the end of a run it would be too late. */
static int check_profile(fsmoe_trainer_t trainer, fsmoe_profile_t profile)
{
	struct fsmoe_timeline predicted;
	int err = fsmoe_profile_simulate(profile, fsmoe_trainer_graph(trainer), &predicted);

	if (!err)
		fsmoe_timeline_destroy(&predicted);
	return err;
}

int fsmoe_replanner_create(fsmoe_replanner_t *replanner, fsmoe_trainer_t trainer,
			   struct fsmoe_plan *plan, fsmoe_profile_t profile,
			   const struct fsmoe_replan_opts *opts)
{
	struct fsmoe_replanner *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return fsmoe_fail(ENOMEM, "no memory for a replanner");
	*r = (struct fsmoe_replanner){.trainer = trainer,
				      .plan = plan,
				      .opts = *opts,
				      .given = profile,
				      .every = opts->every};
	if (opts->schedule)
	{
		r->schedule = *opts->schedule;
		r->opts.schedule = &r->schedule;
	}
	err = check_profile(trainer, profile);
	if (!err)
		err = fsmoe_runtime_set_profile(fsmoe_trainer_runtime(trainer), profile);
	if (!err)
		err = fsmoe_drift_create(&r->drift, profile, opts->bound);
	if (err)
		fsmoe_replanner_destroy(r);
	else
		*replanner = r;
	return err;
}

void fsmoe_replanner_destroy(fsmoe_replanner_t r)
{
	if (!r)
		return;
	fsmoe_drift_destroy(r->drift);
	fsmoe_profile_destroy(r->fresh);
	fsmoe_plan_destroy(&r->before);
	free(r);
}

fsmoe_profile_t fsmoe_replanner_profile(fsmoe_replanner_t r)
{
	return r->fresh ? r->fresh : r->given;
}

/* Sets r->before to a copy of the plan in force. */
static int copy_plan(struct fsmoe_replanner *r)
{
	const size_t bytes = (size_t)r->plan->layers * sizeof(*r->plan->layer);
	void *layer = malloc(bytes + 1);

	if (!layer)
		return fsmoe_fail(ENOMEM, "no memory for a plan of %d layers", r->plan->layers);
	fsmoe_plan_destroy(&r->before);
	r->before = *r->plan;
	r->before.layer = memcpy(layer, r->plan->layer, bytes);
	return 0;
}

/* Predicts the plan in force by the fresh profile, and makes the best one. Both are compared
 * between ranks, since decisions depend on them. */
static int make_plans(struct fsmoe_replanner *r, const struct fsmoe_schedule *schedule,
		      fsmoe_profile_t fresh, struct fsmoe_plan *best)
{
	const struct fsmoe_train_opts *opts = fsmoe_trainer_opts(r->trainer);
	fsmoe_runtime_t runtime = fsmoe_trainer_runtime(r->trainer);
	fsmoe_groups_t groups = fsmoe_runtime_groups(runtime);
	fsmoe_comms_t comms = fsmoe_runtime_comms(runtime);
	const struct fsmoe_forward forward = fsmoe_trainer_forward(r->trainer);
	int err = copy_plan(r);

	if (!err)
		err = fsmoe_train_predict(&r->before, groups, forward, opts, schedule, fresh);
	if (!err)
		err = fsmoe_train_plan(best, groups, forward, opts, schedule, fresh,
				       r->opts.max_degree);
	if (!err)
		err = fsmoe_plan_agree(&r->before, comms);
	return err ? err : fsmoe_plan_agree(best, comms);
}

static int adopt_plan(struct fsmoe_replanner *r, const struct fsmoe_schedule *schedule,
		      struct fsmoe_plan *best)
{
	int err = fsmoe_trainer_replan(r->trainer, schedule, best);

	if (err)
		return err;
	fsmoe_plan_destroy(r->plan);
	*r->plan = *best;
	*best = (struct fsmoe_plan){0};
	return 0;
}

static int replan(struct fsmoe_replanner *r, fsmoe_profile_t fresh,
		  struct fsmoe_replan_result *result)
{
	const int n = fsmoe_trainer_opts(r->trainer)->micro_batches;
	const struct fsmoe_schedule *schedule =
		r->opts.schedule ? r->opts.schedule : fsmoe_schedule_find(r->plan->schedule);
	struct fsmoe_plan best = {0};
	int err;

	if (!schedule)
		return -ENOENT;
	result->promised = fsmoe_train_plan_seconds(r->plan, n);
	err = make_plans(r, schedule, fresh, &best);
	result->before = &r->before;
	result->state = FSMOE_REPLAN_KEPT;
	if (!err && fsmoe_train_plan_seconds(&best, n) <=
			    (1 - r->opts.least_gain) * fsmoe_train_plan_seconds(&r->before, n))
	{
		result->state = FSMOE_REPLAN_ADOPTED;
		err = adopt_plan(r, schedule, &best);
	}
	fsmoe_plan_destroy(&best);
	return err;
}

/* From now on tasks are compared with the fresh profile, and StarPU uses it. */
static int follow_profile(struct fsmoe_replanner *r, fsmoe_profile_t fresh)
{
	fsmoe_profile_destroy(r->fresh);
	r->fresh = fresh;
	fsmoe_drift_follow(r->drift, fresh);
	return fsmoe_runtime_set_profile(fsmoe_trainer_runtime(r->trainer), fresh);
}

static int handle_drift(struct fsmoe_replanner *r, int may_replan, fsmoe_profile_t fresh,
			struct fsmoe_replan_result *result)
{
	int err = may_replan ? replan(r, fresh, result) : 0;

	if (may_replan && !err)
		return follow_profile(r, fresh);
	fsmoe_profile_destroy(fresh);
	if (!r->reported && !may_replan)
		result->state = FSMOE_REPLAN_DRIFTED;
	r->reported = 1;
	return err;
}

int fsmoe_replanner_step(fsmoe_replanner_t r, int may_replan, struct fsmoe_replan_result *result)
{
	const uint64_t step = fsmoe_trainer_steps(r->trainer);
	struct fsmoe_drift_result drift;
	fsmoe_profile_t fresh;
	int err = fsmoe_drift_observe(r->drift, fsmoe_trainer_program(r->trainer),
				      fsmoe_trainer_graph(r->trainer));

	*result = (struct fsmoe_replan_result){FSMOE_REPLAN_NONE};
	if (err || step % (uint64_t)r->opts.every || step < r->next)
		return err;
	err = fsmoe_drift_meet(r->drift, fsmoe_trainer_runtime(r->trainer), &drift, &fresh);
	if (err)
		return err;
	may_replan = may_replan && r->plan && r->plan->layer;
	/* If tasks drift to and fro, no plan is right for long: check less and less often. */
	r->every = drift.drifted && may_replan ? 2 * r->every : r->opts.every;
	if (r->every > r->opts.rarest)
		r->every = r->opts.rarest;
	r->next = step + (uint64_t)r->every;
	snprintf(result->sentence, sizeof(result->sentence), "%s", drift.sentence);
	if (drift.drifted)
		return handle_drift(r, may_replan, fresh, result);
	r->reported = 0;
	return 0;
}
