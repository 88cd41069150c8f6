/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/layer_walk.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

/* --- the walk ----------------------------------------------------------------------------- */

struct walk
{
	double free[FSMOE_NLANES];
	struct fsmoe_layer_event *events;
	int n;
};

/* Lanes take their tasks in program order, so when a task is reached its start is known: when what
 * it needs is there and the lane is free. */
static double place(struct walk *w, enum fsmoe_layer_task task, int chunk, enum fsmoe_lane lane,
		    double ready, double seconds)
{
	const double start = fmax(ready, w->free[lane]), end = start + seconds;

	if (w->events)
		w->events[w->n] = (struct fsmoe_layer_event){task, chunk, lane, start, end};
	w->n++;
	w->free[lane] = end;
	return end;
}

/*
 * Equation 5.1: D1 AG1 .. Dr AGr, the gradients, then E_i RS_i C_i. On lanes of their own this is
 * the order of the paper, D1 .. Dr GAR C1 .. Cr and AG1 .. AGr RS1 .. RSr; on one lane what has
 * come back leaves at once, which is the order of PipeMoE.
 */
double fsmoe_layer_walk(const struct fsmoe_schedule *row, const struct fsmoe_chunk *c, int degree,
			double gradient, struct fsmoe_layer_event *events, int *nevents)
{
	const enum fsmoe_lane out = row->alltoall_lane, side = row->gather_lane;
	double small[64], *ready = degree <= 64 ? small : malloc((size_t)degree * sizeof(*ready));
	struct walk w = {.events = events};
	double end = 0;

	if (!ready)
		return INFINITY;
	for (int i = 0; i < degree; i++)
	{
		ready[i] = place(&w, FSMOE_DISPATCH, i, out, 0, c->alltoall);
		ready[i] = place(&w, FSMOE_GATHER, i, side, ready[i], c->allgather);
	}
	if (gradient > 0)
		end = place(&w, FSMOE_GRADIENTS, -1, out, 0, gradient);
	for (int i = 0; i < degree; i++)
	{
		double t = place(&w, FSMOE_EXPERTS, i, FSMOE_COMPUTE, ready[i], c->expert);

		t = place(&w, FSMOE_SCATTER, i, side, t, c->reduce_scatter);
		end = fmax(end, place(&w, FSMOE_COMBINE, i, out, t, c->alltoall));
	}
	if (c->weights > 0)
		end = fmax(end, place(&w, FSMOE_EXPERT_WEIGHTS, -1, FSMOE_COMPUTE, 0, c->weights));
	if (ready != small)
		free(ready);
	if (nevents)
		*nevents = w.n;
	return end;
}

/* --- a layer ------------------------------------------------------------------------------ */

/* Equation 4.1: t_r = alpha + beta (n / r); a stage that is not there costs nothing. */
static double chunk_seconds(const struct fsmoe_stage *stage, int degree)
{
	return stage->work > 0 ? fsmoe_line_seconds(stage->alpha, stage->beta, stage->work / degree)
			       : 0;
}

void fsmoe_chunk_of(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost,
		    enum fsmoe_phase phase, int degree, struct fsmoe_chunk *chunk)
{
	*chunk = (struct fsmoe_chunk){
		.alltoall = chunk_seconds(&cost->alltoall, degree),
		.allgather = chunk_seconds(&cost->allgather, degree),
		.reduce_scatter = chunk_seconds(&cost->reduce_scatter, degree),
		.expert = chunk_seconds(&cost->expert, degree),
	};
	if (phase == FSMOE_FORWARD)
		return;
	chunk->expert = chunk_seconds(&cost->expert_input, degree);
	if (row->weight_gradients == FSMOE_WEIGHT_GRADIENTS_DEFERRED)
		chunk->weights = chunk_seconds(&cost->expert_weights, 1);
	else
		chunk->expert += chunk_seconds(&cost->expert_weights, degree);
}

double fsmoe_moe_seconds(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost,
			 enum fsmoe_phase phase, int degree, double gradient)
{
	struct fsmoe_chunk chunk;

	fsmoe_chunk_of(row, cost, phase, degree, &chunk);
	return fsmoe_layer_walk(row, &chunk, degree, gradient, NULL, NULL);
}

/* AllGather, compute, ReduceScatter after one another. Beside them, gradients have a lane of their
 * own; where there is one communication stream they fit between the two only. */
double fsmoe_dense_seconds(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost,
			   enum fsmoe_phase phase, double gradient)
{
	const double compute = phase == FSMOE_FORWARD ? cost->dense_forward : cost->dense_backward,
		     around = cost->dense_gather + cost->dense_scatter;

	if (row->gather_lane == row->alltoall_lane)
		return around + fmax(compute, gradient);
	return fmax(around + compute, gradient);
}

/* Equation 6.1, first line. */
double fsmoe_dense_window(const struct fsmoe_schedule *row, const struct fsmoe_layer_cost *cost)
{
	if (row->gather_lane == row->alltoall_lane)
		return cost->dense_backward;
	return cost->dense_gather + cost->dense_scatter + cost->dense_backward;
}

/* --- degrees ------------------------------------------------------------------------------ */

static double busy(const struct fsmoe_schedule *row, const struct fsmoe_chunk *c, int degree)
{
	double one = 2 * c->alltoall;

	if (row->gather_lane == row->alltoall_lane)
		one += c->allgather + c->reduce_scatter;
	return degree * one;
}

int fsmoe_layer_options(const struct fsmoe_plan_problem *p, const struct fsmoe_schedule *row,
			const struct fsmoe_layer_cost *cost, enum fsmoe_phase phase,
			enum fsmoe_degree_rule rule, struct fsmoe_option_cost **options)
{
	const int most = rule == FSMOE_DEGREE_ONE                         ? 1
			 : cost->slots > 0 && cost->slots < p->max_degree ? cost->slots
									  : p->max_degree;
	struct fsmoe_option_cost *o = malloc((size_t)most * sizeof(*o));
	int n = 0;

	if (!o)
		return fsmoe_fail(ENOMEM, "no memory for %d degrees", most);
	for (int r = 1; r <= most; r = p->powers ? 2 * r : r + 1)
	{
		struct fsmoe_chunk chunk;

		fsmoe_chunk_of(row, cost, phase, r, &chunk);
		o[n++] = (struct fsmoe_option_cost){
			r, fsmoe_layer_walk(row, &chunk, r, 0, NULL, NULL), busy(row, &chunk, r)};
	}
	*options = o;
	return n;
}

int fsmoe_best_option(const struct fsmoe_option_cost *o, int n, double gradient)
{
	int best = 0;
	double least = INFINITY;

	for (int i = 0; i < n; i++)
	{
		const double late = o[i].busy + gradient,
			     seconds = o[i].seconds > late ? o[i].seconds : late;

		/* Equal but for rounding: fewer chunks. */
		if (seconds < least * (1 - 1e-12))
		{
			least = seconds;
			best = i;
		}
	}
	return best;
}
