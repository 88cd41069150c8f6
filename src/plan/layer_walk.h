/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_LAYER_WALK_H
#define FSMOE_PLAN_LAYER_WALK_H

#include <fsmoe/plan.h>

/*
 * How long one layer takes under a schedule's columns. The mixture of experts is walked event by
 * event; doc/cost-model.md says why that is exact and what the closed forms are.
 */

/* Seconds of one chunk of every stage; weights: of the weight gradients of all chunks, when they
 * come after the last (0: with each chunk). */
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

/* Most events of a walk. */
#define FSMOE_LAYER_EVENTS(degree) (5 * (degree) + 2)

/* The chunks of a pass (FSMOE_FORWARD or FSMOE_BACKWARD). */
void fsmoe_chunk_of(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost,
		    enum fsmoe_phase phase, int degree, struct fsmoe_chunk *chunk);

/* The makespan of `degree` chunks with `gradient` seconds of AllReduce after the last dispatch.
 * events: NULL, or room for FSMOE_LAYER_EVENTS(degree); *nevents of them are filled. */
double fsmoe_layer_walk(const struct fsmoe_schedule *row, const struct fsmoe_chunk *chunk,
			int degree, double gradient, struct fsmoe_layer_event *events,
			int *nevents);

/* Both at once: seconds of a layer's mixture. */
double fsmoe_moe_seconds(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost,
			 enum fsmoe_phase phase, int degree, double gradient);
/* Seconds of its dense part with `gradient` seconds of AllReduce beside it. */
double fsmoe_dense_seconds(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost,
			   enum fsmoe_phase phase, double gradient);

/* A number of chunks and what it costs: with a gradient of G seconds the mixture takes
 * max(seconds, busy + G), so G = seconds - busy is what it hides. */
struct fsmoe_option_cost
{
	int degree;
	double seconds, busy;
};

/* Every admissible degree, ascending; the caller frees *options. Returns how many; -ENOMEM. */
int fsmoe_layer_options(const struct fsmoe_plan_problem *problem, const struct fsmoe_schedule *row,
			const struct fsmoe_layer_cost *cost, enum fsmoe_phase phase,
			enum fsmoe_degree_rule rule, struct fsmoe_option_cost **options);
/* The best of them beside a gradient; the smallest degree of equals. */
int fsmoe_best_option(const struct fsmoe_option_cost *options, int n, double gradient);

/* Gradient seconds that hide beside the dense part. */
double fsmoe_dense_window(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost);

#endif
