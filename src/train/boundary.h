/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_BOUNDARY_H
#define FSMOE_TRAIN_BOUNDARY_H

#include <fsmoe/train.h>
#include <stddef.h>

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
	/* How even experts are, 0 to 1: -sum p log p / log E over the shares p of a layer's kept
	 * tokens that its E experts have, in the mean over layers. */
	double entropy;
	/* Tokens kept by the experts of each expert-parallel rank, over all layers and all copies
	 * of these; the boundary's, until the next meeting. */
	const double *rank_load;
	int ranks;
	/* The same by layer and expert, layer after layer; experts 0: layers differ in them. */
	const double *expert_load;
	int layers, experts;
};

/* The entropy of one layer; 1 for a single expert, 0 without any token. */
double fsmoe_load_entropy(const double *load, size_t experts);

/* After a step; collective over the job. */
int fsmoe_boundary_meet(struct fsmoe_boundary *boundary, int stop,
			struct fsmoe_boundary_result *result);

#endif
