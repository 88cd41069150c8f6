/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_LAYER_WALK_H
#define FSMOE_PLAN_LAYER_WALK_H

#include <fsmoe/plan.h>

/*
 * The time of one layer under a schedule's columns. The mixture of experts is walked event by
 * event; doc/cost-model.md says why that is exact and gives the closed forms.
 */

/* Seconds of one chunk of every stage. weights: seconds of the weight gradients of all chunks, if
 * they come after the last one; 0 if they come with each chunk. */
struct fsmoe_chunk
{
	double alltoall, allgather, expert, reduce_scatter, weights;
};

enum fsmoe_layer_task
{
	FSMOE_DISPATCH,
	FSMOE_GATHER,
	FSMOE_EXPERTS,
	FSMOE_SCATTER,
	FSMOE_COMBINE,
	FSMOE_GRADIENTS,
	FSMOE_EXPERT_WEIGHTS,
	FSMOE_NLAYER_TASKS
};

struct fsmoe_layer_event
{
	enum fsmoe_layer_task task;
	int chunk; /* from 0; -1: of the whole layer */
	enum fsmoe_lane lane;
	double start, end;
};

/* The maximum number of events of a walk. */
#define FSMOE_LAYER_EVENTS(degree) (5 * (degree) + 2)

/* Computes the seconds of a chunk in a pass (FSMOE_FORWARD or FSMOE_BACKWARD). */
void fsmoe_chunk_of(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost,
		    enum fsmoe_phase phase, int degree, struct fsmoe_chunk *chunk);

/* Returns the makespan of `degree` chunks with `gradient` seconds of AllReduce after the last
 * dispatch. events: NULL, or room for FSMOE_LAYER_EVENTS(degree); *nevents of them are filled. */
double fsmoe_layer_walk(const struct fsmoe_schedule *row, const struct fsmoe_chunk *chunk,
			int degree, double gradient, struct fsmoe_layer_event *events,
			int *nevents);

/* Returns the seconds of a layer's mixture: fsmoe_chunk_of and fsmoe_layer_walk together. */
double fsmoe_moe_seconds(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost,
			 enum fsmoe_phase phase, int degree, double gradient);
/* Returns the seconds of the dense part with `gradient` seconds of AllReduce beside it. */
double fsmoe_dense_seconds(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost,
			   enum fsmoe_phase phase, double gradient);

/* The cost of a number of chunks. Beside a gradient of G seconds the mixture takes
 * max(seconds, busy + G), so it hides seconds - busy. */
struct fsmoe_option_cost
{
	int degree;
	double seconds, busy;
};

/* Lists every admissible degree, ascending, and returns their number. The caller frees *options.
 * -ENOMEM. */
int fsmoe_layer_options(const struct fsmoe_plan_problem *problem, const struct fsmoe_schedule *row,
			const struct fsmoe_layer_cost *cost, enum fsmoe_phase phase,
			enum fsmoe_degree_rule rule, struct fsmoe_option_cost **options);
/* Returns the index of the best option beside a gradient; among equals, of the smallest degree. */
int fsmoe_best_option(const struct fsmoe_option_cost *options, int n, double gradient);

/* Returns the gradient seconds that hide beside the dense part. */
double fsmoe_dense_window(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost);

#endif
