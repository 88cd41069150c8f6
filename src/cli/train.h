/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_TRAIN_H
#define FSMOE_CLI_TRAIN_H

#include "config/config.h"
#include "data/data.h"
#include "step/step.h"
#include "train/eval.h"
#include "train/flops.h"
#include "train/metrics.h"

#include <limits.h>

/* One run, from its parts in the order in which they are made. */
struct run
{
	struct fsmoe_train_config config;
	struct fsmoe_model_spec eval_model; /* config's, but nothing is dropped */
	struct fsmoe_data *data, *val;      /* val: NULL if it is a part of data */
	int32_t *tokens, *targets;          /* the global batch */
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_profile_t profile;               /* --profile; NULL: none */
	struct fsmoe_schedule row;             /* without a name: none */
	struct fsmoe_plan plan;                /* without layers: none */
	struct fsmoe_step_graph step_graph;    /* the trainer's, once there is one */
	struct fsmoe_forward_graph eval_graph; /* the evaluation's, once there is one */
	fsmoe_runtime_t runtime;
	fsmoe_trainer_t trainer;
	struct fsmoe_eval *eval;  /* NULL: nothing is held out */
	struct fsmoe_flops flops; /* of a step */
	struct fsmoe_metrics *metrics;
	fsmoe_replanner_t replanner; /* NULL: no profile */
	char metrics_path[PATH_MAX];
	int first; /* this is rank 0, which prints and writes */

	int began, step;                       /* steps done: before this run, and now */
	int skipped;                           /* steps skipped by --on-nan=skip */
	int saved;                             /* step of the last checkpoint; -1: none */
	uint64_t samples;                      /* sequences done */
	double first_loss, last_loss, seconds; /* of the steps */
	size_t tokens_done;
	size_t gpu_need; /* bytes of this rank's GPU that were predicted to be taken; 0: no GPU */
	int together;    /* every rank fails alike: none needs to end the others */
};

/* Prints a line for people, from rank 0: on the screen unless --quiet, and in the log. */
void run_say(const struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The data that hold the held-out part. */
const struct fsmoe_data *run_held_out(const struct run *run);

/*
 * The stages of a run, in order. Each returns an exit code and leaves the sentence of a failure in
 * fsmoe_last_error(); run->together says whether all ranks share the failure.
 */
int run_dispatch(struct run *run); /* --dispatch=auto: the one predicted to be fastest; local */
int run_plan(struct run *run);     /* --schedule, --profile, --plan; local */
int run_observe_start(struct run *run); /* --profile, --record-events, --timeline; collective */
int run_resume(struct run *run);        /* --resume; collective */
int run_steps(struct run *run);         /* all steps, and what happens between them; collective */

/* "2 chunks forward, 1 to 4 backward", and a whole plan: for people. */
enum
{
	RUN_PLAN_TEXT = 320
};
const char *run_plan_chunks(const struct fsmoe_plan *plan, char text[RUN_PLAN_TEXT]);
const char *run_plan_text(const struct run *run, const struct fsmoe_plan *plan,
			  char text[RUN_PLAN_TEXT]);
/* Rank 0 writes plan.json to --output. */
int run_plan_save(const struct run *run);

/* --print-breakdown: the last step's time by operation. */
int run_breakdown(const struct run *run);

/* --profile, --record-events, --timeline: after each step, after the last one; collective. Return 0
 * or a negative errno. */
int run_observe_step(struct run *run);
int run_observe_end(struct run *run);

#endif
