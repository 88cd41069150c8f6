/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_TRAIN_H
#define FSMOE_CLI_TRAIN_H

#include "config/config.h"
#include "data/data.h"
#include "train/boundary.h"
#include "train/eval.h"
#include "train/flops.h"
#include "train/metrics.h"

#include <limits.h>

/* One run, from its parts in the order in which they are made. */
struct run
{
	struct fsmoe_train_config config;
	struct fsmoe_model_spec eval_model; /* as config's, but nothing is dropped */
	struct fsmoe_data *data, *val;      /* val: NULL where it is a part of data */
	int32_t *tokens, *targets;          /* the global batch */
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	struct fsmoe_schedule row; /* without a name: none */
	struct fsmoe_plan plan;    /* without layers: none */
	fsmoe_runtime_t runtime;
	fsmoe_trainer_t trainer;
	struct fsmoe_eval *eval; /* NULL: nothing is held out */
	struct fsmoe_boundary *boundary;
	struct fsmoe_flops flops; /* of a step */
	struct fsmoe_metrics *metrics;
	struct observe *observe; /* NULL: steps are not */
	char metrics_path[PATH_MAX];
	int first; /* this is rank 0, which speaks and writes */

	int began, step;                       /* steps done: before this run, and now */
	int skipped;                           /* of them, by --on-nan=skip */
	int saved;                             /* at which step; -1: never */
	uint64_t samples;                      /* sequences done */
	double first_loss, last_loss, seconds; /* of the steps */
	size_t tokens_done;
	size_t gpu_need; /* bytes of this rank's GPU that were predicted to be taken; 0: no GPU */
};

/* A line for people, from rank 0: on the screen unless they asked for quiet, in the log always. */
void run_say(const struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Where there is held-out data, and where it lies. */
const struct fsmoe_data *run_held_out(const struct run *run);

/* --dispatch=auto becomes the one that is predicted to be fastest. Local; returns an exit code. */
int run_dispatch(struct run *run);

/* How the steps are laid out in time: --schedule, --profile, --plan. Local; returns an exit
 * code. */
int run_plan(struct run *run);

/* The same when tasks have drifted from the profile, to which `why` is the sentence: plans anew by
 * the fresh one and goes on by that plan where it is better. Between two steps; collective; all
 * ranks do the same. Returns 0 or a failure. */
int run_replan(struct run *run, const char *why, fsmoe_profile_t fresh);
/* "2 chunks forward, 1 to 4 backward", and all that a plan does: for people. */
enum
{
	RUN_PLAN_TEXT = 320
};
const char *run_plan_chunks(const struct fsmoe_plan *plan, char text[RUN_PLAN_TEXT]);
const char *run_plan_text(const struct run *run, const struct fsmoe_plan *plan,
			  char text[RUN_PLAN_TEXT]);
/* What a plan's layers are predicted to take in a step, in seconds. */
double run_plan_seconds(const struct run *run, const struct fsmoe_plan *plan);
/* Rank 0 leaves it as plan.json in --output. */
int run_plan_save(const struct run *run);

/* Every step that is left, with all that happens between them. Returns an exit code, having said
 * why where it is not 0. *together: every rank returns the same, none needs to be ended. */
int run_steps(struct run *run, int *together);

/* Goes on from --resume; *code is for a failure, which all ranks share. */
int run_resume(struct run *run, int *code);

/* --print-breakdown: where the last step's time went, by operation. */
int run_breakdown(const struct run *run);

/* --profile, --record-events, --timeline: before the first step, after each, after the last;
 * collective. */
int run_observe_start(struct run *run);
int run_observe_step(struct run *run);
int run_observe_end(struct run *run);
void run_observe_release(struct run *run);

#endif
