/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BENCH_SCHEDULE_H
#define FSMOE_BENCH_SCHEDULE_H

#include "comm/comm.h"
#include "step/step.h"

#include <fsmoe/op.h>
#include <fsmoe/plan.h>
#include <fsmoe/train.h>

/* `fsmoe bench schedule`: schedules in turn on one model, predicted beside measured. */

/* A schedule made ready to run, with its predicted and measured times. */
struct fsmoe_bench_row
{
	struct fsmoe_schedule schedule;
	struct fsmoe_plan plan;
	struct fsmoe_step_graph step;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	double predicted, predicted_exposed, predicted_kind[FSMOE_NKINDS]; /* seconds */
	double *seconds, *exposed, *kind[FSMOE_NKINDS];                    /* by round */
	/* Medians over the rounds; of the slowest rank for steps and computation, of the fastest
	 * for communication, since the others wait in it. */
	double measured, low, high, measured_exposed, measured_kind[FSMOE_NKINDS];
};

struct fsmoe_bench_rows
{
	fsmoe_runtime_t runtime;
	fsmoe_groups_t groups;
	struct fsmoe_comm *world;
	fsmoe_profile_t profile;
	struct fsmoe_model_spec *model;
	struct fsmoe_train_opts *train;
	int max_degree, rounds, n;
	struct fsmoe_bench_row *row; /* with `schedule` filled in by the caller */
};

/* Plans, builds and predicts all rows, then runs them in turn. Collective over the job. 0 or a
 * negative errno. */
int fsmoe_bench_rows_run(struct fsmoe_bench_rows *b);
void fsmoe_bench_rows_free(struct fsmoe_bench_rows *b);

/* Random tokens, each with the next token id as its target, for all micro-batches of a step. */
void fsmoe_bench_fill_tokens(const struct fsmoe_step_graph *step, fsmoe_memory_t memory, int rank,
			     int vocab);
/* The greatest or the least of the ranks' values. Collective over `world`. 0 or a negative
 * errno. */
int fsmoe_bench_over_ranks(struct fsmoe_comm *world, double mine, int greatest, double *value);

#endif
