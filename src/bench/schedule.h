/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BENCH_SCHEDULE_H
#define FSMOE_BENCH_SCHEDULE_H

#include "comm/comm.h"
#include "step/step.h"

#include <fsmoe/op.h>
#include <fsmoe/plan.h>
#include <fsmoe/train.h>

/* A schedule made ready to run, and what it was predicted and measured to take. */
struct fsmoe_bench_row
{
	struct fsmoe_schedule schedule;
	struct fsmoe_plan plan;
	struct fsmoe_step_graph step;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	double predicted, predicted_exposed, predicted_kind[FSMOE_NKINDS]; /* seconds */
	double *seconds, *exposed, *kind[FSMOE_NKINDS];                    /* by round */
	/* Of rounds the median; of ranks the slowest for steps and computation, the fastest for
	 * communication, since the others wait in it. */
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
	struct fsmoe_bench_row *row; /* their `schedule` filled in */
};

/* Plans, builds and predicts all rows, then runs them in turn. Collective over the job. */
int fsmoe_bench_rows_run(struct fsmoe_bench_rows *b);
void fsmoe_bench_rows_free(struct fsmoe_bench_rows *b);

#endif
