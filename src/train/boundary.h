/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_BOUNDARY_H
#define FSMOE_TRAIN_BOUNDARY_H

#include <fsmoe/train.h>

/*
 * What the ranks tell each other between two steps, in one small sum: whether anybody was asked to
 * stop, and how many tokens each expert got.
 */
struct fsmoe_boundary;

int fsmoe_boundary_create(struct fsmoe_boundary **boundary, fsmoe_trainer_t trainer,
			  fsmoe_runtime_t runtime);
void fsmoe_boundary_destroy(struct fsmoe_boundary *boundary); /* NULL is legal */

struct fsmoe_boundary_result
{
	int stop;                             /* how many ranks were asked to */
	double routed, dropped;               /* choices of tokens in the step, over all layers */
	double load_min, load_mean, load_max; /* tokens kept by an expert of a layer */
};

/* After a step; collective over the job. */
int fsmoe_boundary_meet(struct fsmoe_boundary *boundary, int stop,
			struct fsmoe_boundary_result *result);

#endif
