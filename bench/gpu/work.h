/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BENCH_GPU_WORK_H
#define FSMOE_BENCH_GPU_WORK_H

#include "step/step.h"

#include <fsmoe.h>

/*
 * What the programs of this folder measure:
 *
 *	M H E k f T [mixtral] [cuts=F/B] [schedule=NAME]
 *	                 one Mixture-of-Experts layer between an embedding and a loss: model and
 *	                 hidden dimension, experts, choices, capacity factor, tokens of a rank, the
 *	                 experts' kind (else gpt), chunks of the two passes (else 1); forward and
 *	                 backward
 *	PRESET BATCH     a training step
 */
struct work
{
	struct fsmoe_step_graph step; /* its graph alone, of a layer */
	fsmoe_memory_t memory;        /* filled: parameters and inputs */
	char name[160];
};

/* How many of the arguments name a piece of work; 0: none. */
int work_arguments(int argc, char **argv);
void work_create(struct work *work, fsmoe_groups_t groups, int argc, char **argv);
void work_destroy(struct work *work);

#endif
