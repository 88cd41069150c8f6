/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MEASURE_H
#define FSMOE_MEASURE_H

#include <fsmoe/drift.h>
#include <fsmoe/model.h>
#include <fsmoe/profile.h>
#include <fsmoe/runtime.h>
#include <fsmoe/train.h>

/*
 * Measures what tasks cost on this machine, by running the tasks of a model: steps of one layer of
 * it with fewer and more tokens and chunks than it has, and its collectives on its groups, of
 * sizes from below its smallest chunk to above its largest buffer. Everything goes through the
 * runtime, so that what is measured is what runs.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct fsmoe_measure_opts
{
	size_t size;    /* set by fsmoe_measure_opts_init */
	double seconds; /* to measure for, about; building and warming up come on top */
	int max_degree; /* most chunks of a layer that will be planned with */
};

void fsmoe_measure_opts_init(struct fsmoe_measure_opts *opts);

/*
 * Makes a profile of the machine that the runtime runs on; of every task the rank counts whose
 * median is longest. Blocks for opts->seconds and more; collective over the job, with the same
 * profile on every rank. `train` says how the model's batch is cut. opts may be NULL. What the
 * model does not do has no line: AlltoAll of one rank, for one.
 */
int fsmoe_profile_measure(fsmoe_profile_t *profile, fsmoe_runtime_t runtime,
			  const struct fsmoe_model_spec *model,
			  const struct fsmoe_train_opts *train,
			  const struct fsmoe_measure_opts *opts);

/* Adds what every task of the program's last step took; with recording on (fsmoe_runtime_record)
 * that includes choosing and starting it, as in a measured profile. Local. */
int fsmoe_drift_observe(fsmoe_drift_t drift, fsmoe_program_t program, fsmoe_graph_t graph);
/* fsmoe_drift_decide on what all ranks have seen: the same result on each. Collective over the
 * job, between steps. */
int fsmoe_drift_meet(fsmoe_drift_t drift, fsmoe_runtime_t runtime,
		     struct fsmoe_drift_result *result, fsmoe_profile_t *fresh);

#ifdef __cplusplus
}
#endif
#endif
