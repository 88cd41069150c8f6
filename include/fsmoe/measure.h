/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MEASURE_H
#define FSMOE_MEASURE_H

#include <fsmoe/drift.h>
#include <fsmoe/model.h>
#include <fsmoe/profile.h>
#include <fsmoe/runtime.h>
#include <fsmoe/train.h>

/*
 * Measures how long a model's tasks take on this machine. It runs steps of one layer with fewer and
 * more tokens and chunks than the model has, and the model's collectives on its groups with sizes
 * from below its smallest chunk to above its largest buffer. All of it runs through the runtime, so
 * the measured tasks are those of a training run.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct fsmoe_measure_opts
{
	size_t size;    /* set by fsmoe_measure_opts_init */
	double seconds; /* approximate time to measure, without building and warming up */
	int max_degree; /* largest number of chunks of a layer that plans may use */
};

/* Sets the defaults. */
void fsmoe_measure_opts_init(struct fsmoe_measure_opts *opts);

/*
 * Measures a profile of the machine that the runtime runs on. For each task it uses the rank with
 * the longest median. `train` gives the batch and its micro-batches; opts NULL means the defaults.
 * Tasks that the model does not have get no line, for example an AlltoAll of one rank. The caller
 * destroys the profile. Blocks for opts->seconds and more; collective over the job, and every rank
 * gets the same profile.
 */
int fsmoe_profile_measure(fsmoe_profile_t *profile, fsmoe_runtime_t runtime,
			  const struct fsmoe_model_spec *model,
			  const struct fsmoe_train_opts *train,
			  const struct fsmoe_measure_opts *opts);

/* Adds the durations of all tasks of the program's last step. With the recorder on
 * (fsmoe_runtime_record) they include choosing and starting a task, as those of a measured profile
 * do. Local. */
int fsmoe_drift_observe(fsmoe_drift_t drift, fsmoe_program_t program, fsmoe_graph_t graph);
/* Decides with fsmoe_drift_decide from the cells of all ranks; every rank gets the same result. The
 * caller destroys *fresh, which may be NULL. Call it between steps. Blocks; collective over the
 * job. */
int fsmoe_drift_meet(fsmoe_drift_t drift, fsmoe_runtime_t runtime,
		     struct fsmoe_drift_result *result, fsmoe_profile_t *fresh);

#ifdef __cplusplus
}
#endif
#endif
