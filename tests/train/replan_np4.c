/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planning anew in the middle of a run, on four ranks as 2 nodes of 2: parameters and moments keep
 * their bits, losses go on as without it; a drift that one rank alone has seen gives all ranks the
 * same plan; a plan that one rank alone has is refused, and training goes on. The replanner does
 * all of it while training.
 */
#include "tests/lib/try.h"
#include "tests/step/job.h"

#include "base/rng.h"

#include <errno.h>
#include <fsmoe.h>
#include <math.h>
#include <string.h>

enum
{
	STEPS = 8,
	BATCH = 8,
	SEQ = 16
};

static void complain(struct job *j, const char *what)
{
	printf("rank %d: %s: %s\n", j->rank, what, fsmoe_last_error());
	j->bad++;
}

static double step(struct job *j, fsmoe_trainer_t trainer, int n)
{
	return job_step(j, trainer, fsmoe_rng_key(9, "replan"), n);
}

/* --- bits --------------------------------------------------------------------------------- */

static int outlives(const struct fsmoe_tensor_info *t, int i)
{
	return t[i].base == i && (t[i].role == FSMOE_PARAM || t[i].role == FSMOE_STATE);
}

/* Parameters and moments, one after another. Returns how many floats; to may be NULL. */
static size_t keep(fsmoe_trainer_t trainer, float *to)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(fsmoe_trainer_graph(trainer), &n);
	size_t at = 0;

	for (int i = 0; i < n; i++)
	{
		const size_t count = fsmoe_shape_count(&t[i].shape);

		if (!outlives(t, i))
			continue;
		if (to)
			memcpy(to + at, fsmoe_memory_data(fsmoe_trainer_memory(trainer), i),
			       count * sizeof(float));
		at += count;
	}
	return at;
}

/* The order of tensors in a graph is that of the model, whatever the plan. */
static void replan_exactly(struct job *j, fsmoe_trainer_t trainer, const struct fsmoe_schedule *row,
			   const struct fsmoe_plan *plan)
{
	const size_t n = keep(trainer, NULL);
	float *before = malloc(2 * n * sizeof(*before)), *after = before + n;

	if (!before)
		exit(1);
	keep(trainer, before);
	if (fsmoe_trainer_replan(trainer, row, plan))
		complain(j, "a good plan was refused");
	if (keep(trainer, NULL) != n)
		complain(j, "another number of parameters");
	keep(trainer, after);
	if (memcmp(before, after, n * sizeof(*before)))
		complain(j, "parameters or moments changed");
	free(before);
}

/* --- plans -------------------------------------------------------------------------------- */

static void losses_go_on(struct job *j)
{
	/* A few float roundings a step, times what Adam makes of them. */
	static const double rounding = 1e-4;
	double want[STEPS];
	fsmoe_trainer_t trainer;
	struct random_plan r;

	TRY(fsmoe_trainer_create(&trainer, j->rt, fsmoe_model_as_forward(&j->spec), &j->opts));
	for (int i = 0; i < STEPS; i++)
		want[i] = step(j, trainer, i);
	fsmoe_trainer_destroy(trainer);
	TRY(fsmoe_trainer_create(&trainer, j->rt, fsmoe_model_as_forward(&j->spec), &j->opts));
	for (int i = 0; i < STEPS; i++)
	{
		double loss;

		if (i && i % 2 == 0)
		{
			job_random_plan(j, (uint64_t)i, 4, &r);
			replan_exactly(j, trainer, &r.row, &r.plan);
		}
		loss = step(j, trainer, i);
		if (!(fabs(loss - want[i]) <= rounding * fabs(want[i])))
			complain(j, "another loss");
		if (j->rank == 0)
			printf("step %d: loss %.9g, %.9g without planning anew\n", i + 1, loss,
			       want[i]);
	}
	job_random_plan(j, 3, 4, &r);
	r.layer[1].forward_degree += j->rank == 2;
	if (fsmoe_trainer_replan(trainer, &r.row, &r.plan) != -EINVAL ||
	    !strstr(fsmoe_last_error(), "rank 2 has another plan than rank 0"))
		complain(j, "a plan that only rank 2 has");
	if (!isfinite(step(j, trainer, STEPS)))
		complain(j, "no loss after a plan that was refused");
	fsmoe_trainer_destroy(trainer);
}

/* --- drift -------------------------------------------------------------------------------- */

/* Experts far longer than transfers: one chunk. */
static fsmoe_profile_t a_profile(void)
{
	fsmoe_profile_t p;

	TRY(fsmoe_profile_create(&p));
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
		{
			const struct fsmoe_fit fit = {.alpha = 1e-6, .beta = 1e-8},
					       expert = {.alpha = 1e-2, .beta = 1e-6};

			if (FSMOE_KIND_IS_COMM(kind) != (lane == FSMOE_COMPUTE))
				TRY(fsmoe_profile_set(p, (enum fsmoe_kind)kind,
						      (enum fsmoe_lane)lane,
						      kind == FSMOE_KIND_EXPERT ? &expert : &fit));
		}
	return p;
}

/* Records times as the profile predicts them, but dense products on rank 3 take 20 times as
 * long. */
static void see(struct job *j, fsmoe_drift_t drift, fsmoe_profile_t p, fsmoe_graph_t graph)
{
	int n, tensors;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &n);
	const struct fsmoe_tensor_info *tensor = fsmoe_graph_tensors(graph, &tensors);

	for (int k = 0; k < 6; k++)
		for (int i = 0; i < n; i++)
		{
			const double work = fsmoe_node_work(&node[i], tensor);
			double seconds;

			if (work <= 0)
				continue;
			TRY(fsmoe_profile_predict(p, node[i].op->kind, node[i].span, work,
						  &seconds));
			if (j->rank == 3 && node[i].op->kind == FSMOE_KIND_GEMM)
				seconds *= 20;
			TRY(fsmoe_drift_add(drift, node[i].op->kind, node[i].span, work, seconds));
		}
}

static void one_rank_drifts(struct job *j)
{
	const struct fsmoe_schedule *row = fsmoe_schedule_find("fsmoe");
	fsmoe_profile_t profile = a_profile(), fresh;
	struct fsmoe_drift_result result;
	struct fsmoe_plan plan, best;
	fsmoe_trainer_t trainer;
	fsmoe_drift_t drift;

	TRY(fsmoe_train_plan(&plan, j->groups, fsmoe_model_as_forward(&j->spec), &j->opts, row,
			     profile, 4));
	j->opts.schedule = row;
	j->opts.plan = &plan;
	TRY(fsmoe_trainer_create(&trainer, j->rt, fsmoe_model_as_forward(&j->spec), &j->opts));
	TRY(fsmoe_drift_create(&drift, profile, 0.25));
	see(j, drift, profile, fsmoe_trainer_graph(trainer));
	TRY(fsmoe_drift_meet(drift, j->rt, &result, &fresh));
	if (result.drifted != 1 || result.kind != FSMOE_KIND_GEMM || !fresh)
	{
		complain(j, "a drift that only rank 3 has seen");
		exit(1);
	}
	TRY(fsmoe_train_plan(&best, j->groups, fsmoe_model_as_forward(&j->spec), &j->opts, row,
			     fresh, 4));
	/* Compares the plans of all ranks, with what they are predicted to take. */
	replan_exactly(j, trainer, row, &best);
	TRY(fsmoe_train_predict(&plan, j->groups, fsmoe_model_as_forward(&j->spec), &j->opts, row,
				fresh));
	if (plan.forward + plan.backward + plan.tail_seconds <
	    (best.forward + best.backward + best.tail_seconds) * (1 - 1e-6))
		complain(j, "the old plan is better than the new one");
	if (!isfinite(step(j, trainer, 0)))
		complain(j, "no loss by the new plan");
	if (j->rank == 0)
		printf("%s\n", result.sentence);
	fsmoe_drift_destroy(drift);
	fsmoe_profile_destroy(profile);
	fsmoe_profile_destroy(fresh);
	fsmoe_trainer_destroy(trainer);
	fsmoe_plan_destroy(&plan);
	fsmoe_plan_destroy(&best);
}

/* --- the replanner: all of it from a program ------------------------------------------------ */

/* Takes steps until ranks have checked for drift. */
static void step_to_check(struct job *j, fsmoe_trainer_t trainer, fsmoe_replanner_t replanner,
			  int every, int may_replan, struct fsmoe_replan_result *result)
{
	do
	{
		if (!isfinite(step(j, trainer, (int)fsmoe_trainer_steps(trainer))))
			complain(j, "no loss");
		TRY(fsmoe_replanner_step(replanner, may_replan, result));
	} while (fsmoe_trainer_steps(trainer) % (uint64_t)every);
}

/* Experts take far less than the profile says: that is reported once, then planned for. */
static void experts_drift(struct job *j)
{
	const struct fsmoe_schedule *row = fsmoe_schedule_find("fsmoe");
	fsmoe_profile_t profile = a_profile();
	struct fsmoe_replan_opts opts;
	struct fsmoe_replan_result result;
	fsmoe_replanner_t replanner;
	fsmoe_trainer_t trainer;
	struct fsmoe_plan plan;
	uint64_t before, after;

	TRY(fsmoe_train_plan(&plan, j->groups, fsmoe_model_as_forward(&j->spec), &j->opts, row,
			     profile, 4));
	j->opts.schedule = row;
	j->opts.plan = &plan;
	TRY(fsmoe_trainer_create(&trainer, j->rt, fsmoe_model_as_forward(&j->spec), &j->opts));
	fsmoe_replan_opts_init(&opts);
	opts.every = FSMOE_DRIFT_LEAST + 1;
	opts.max_degree = 4;
	TRY(fsmoe_runtime_record(j->rt, 1, NULL));
	TRY(fsmoe_replanner_create(&replanner, trainer, &plan, profile, &opts));
	step_to_check(j, trainer, replanner, opts.every, 0, &result);
	if (result.state != FSMOE_REPLAN_DRIFTED || !strstr(result.sentence, "expert"))
		complain(j, "the drift is not reported");
	step_to_check(j, trainer, replanner, opts.every, 0, &result);
	if (result.state != FSMOE_REPLAN_NONE || fsmoe_replanner_profile(replanner) != profile)
		complain(j, "the drift is reported twice");
	TRY(fsmoe_plan_hash(&plan, &before));
	step_to_check(j, trainer, replanner, opts.every, 1, &result);
	TRY(fsmoe_plan_hash(&plan, &after));
	if (result.state != FSMOE_REPLAN_KEPT && result.state != FSMOE_REPLAN_ADOPTED)
		complain(j, "it was not planned anew");
	else if (!(fsmoe_train_plan_seconds(result.before, 1) < result.promised))
		complain(j, "the old plan is not predicted to take less by the fresh profile");
	if ((result.state == FSMOE_REPLAN_ADOPTED) != (before != after))
		complain(j, "the plan that the trainer follows is another one");
	if (fsmoe_replanner_profile(replanner) == profile)
		complain(j, "no fresh profile");
	if (!isfinite(step(j, trainer, 0)))
		complain(j, "no loss by the plan in force");
	if (j->rank == 0)
		printf("%s\n", result.sentence);
	fsmoe_replanner_destroy(replanner);
	fsmoe_trainer_destroy(trainer);
	fsmoe_plan_destroy(&plan);
	fsmoe_profile_destroy(profile);
	j->opts.schedule = NULL;
	j->opts.plan = NULL;
}

/* With equal costs of all AlltoAlls one exchange is better than the two of a hierarchical one. */
static void flat_is_fastest(struct job *j)
{
	fsmoe_profile_t profile = a_profile();
	struct fsmoe_dispatch_times times;
	struct fsmoe_model_spec spec = j->spec;

	spec.dispatch = NULL;
	TRY(fsmoe_train_choose_dispatch(&spec, &times, j->groups, &j->opts,
					fsmoe_schedule_find("fsmoe"), profile, 4));
	if (!spec.dispatch || strcmp(spec.dispatch, "flat") || times.n < 2)
		complain(j, "another dispatch than flat");
	for (int i = 0; i < times.n; i++)
		if (!(times.time[i].seconds >= times.time[0].seconds))
			complain(j, times.time[i].dispatch);
	fsmoe_profile_destroy(profile);
}

int main(void)
{
	struct job j;

	job_start(&j, 2);
	j.opts.global_batch = BATCH;
	j.opts.seq_length = SEQ;
	losses_go_on(&j);
	flat_is_fastest(&j);
	experts_drift(&j);
	one_rank_drifts(&j);
	job_stop(&j);
	return j.bad ? 1 : 0;
}
