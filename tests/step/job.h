/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_JOB_H
#define FSMOE_TESTS_JOB_H

#include "tests/step/random_plan.h"

#include <fsmoe.h>

/* Ranks that train a tiny model, for tests of how its steps are laid out. What fails ends the
 * test. */
struct job
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	int rank, bad;
};

void job_start(struct job *job, int nodes);
void job_stop(struct job *job);

/* A plan that this job can execute: of the model and the options as they are, without a plan. */
void job_random_plan(const struct job *job, uint64_t seed, int most_chunks, struct random_plan *r);

/* A step on tokens that follow from `key` and the step's number; its loss. */
double job_step(const struct job *job, fsmoe_trainer_t trainer, uint64_t key, int step);

#endif
