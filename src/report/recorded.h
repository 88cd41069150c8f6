/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_REPORT_RECORDED_H
#define FSMOE_REPORT_RECORDED_H

#include <jansson.h>

/*
 * A recorded step as fsmoe train --timeline writes it: the nodes of its graph with what they wait
 * for, and of each rank, and of the prediction if there is one, when each node ran. Microseconds.
 */
enum
{
	RECORDED_LANES = 3, /* compute, intra, inter */
	RECORDED_KINDS = 32 /* at most */
};

struct recorded_node
{
	const char *op, *phase, *group; /* group: of communication, else NULL */
	const json_t *groups;           /* all of that kind: arrays of ranks */
	const json_t *after;            /* numbers of lesser nodes */
	int layer, micro_batch, chunk;
	int gradients;   /* it sums gradients of parameters over ranks */
	double work;     /* n of the cost model */
	double expected; /* how long it takes as a rule, once all ranks are there */
};

struct recorded_slice
{
	double start, end, ready;
	double submitted; /* NaN: nobody noted */
	int node, lane, kind;
	int before; /* the slice on its lane that ended last before it; -1: none */
	const json_t *name;
};

struct recorded_track
{
	const char *name;
	struct recorded_slice *slice; /* by start */
	int n;
	int *at; /* by node: its slice; -1: none */
};

struct recorded
{
	struct recorded_node *node;
	int nnodes;
	struct recorded_track *track; /* those of ranks first, by rank */
	int n, room, ranks;
	const char *kind[RECORDED_KINDS];
	int communicates[RECORDED_KINDS];
	int nkinds;
	double from, to; /* of what was measured: first start, last end */
};

/* -EPROTO without a sentence: it is no such timeline, or a part of one. `json` must outlive it. */
int fsmoe_recorded_read(struct recorded *step, const json_t *json);
void fsmoe_recorded_free(struct recorded *step);

/* The slice of a node on a rank; NULL: none. */
const struct recorded_slice *fsmoe_recorded_slice(const struct recorded *step, int rank, int node);
const struct recorded_slice *fsmoe_recorded_before(const struct recorded *step, int rank,
						   const struct recorded_slice *slice);
/* Of what a slice waits for in the graph, what ended last on its rank; NULL: it waits for
 * nothing. */
const struct recorded_slice *fsmoe_recorded_need(const struct recorded *step, int rank,
						 const struct recorded_slice *slice);
/* When the last rank of its group came to a communication, of those that had come by `until`, and
 * which; its own start and rank where it is none. */
double fsmoe_recorded_arrival(const struct recorded *step, int rank,
			      const struct recorded_slice *slice, double until, int *last);
/* When a rank was given its first task; the step's start where nobody noted. */
double fsmoe_recorded_began(const struct recorded *step, int rank);
/* Of one operation, phase and size: what may be compared. */
int fsmoe_recorded_alike(const struct recorded_node *a, const struct recorded_node *b);
const char *fsmoe_recorded_name(const struct recorded_slice *slice);

/* Adds to a number of an object, that is there once there is something to add. */
void fsmoe_recorded_increase(json_t *object, const char *key, double us);

/* The parts of a report's "timeline"; the caller owns what they return. */
json_t *fsmoe_recorded_waits(const struct recorded *step);
json_t *fsmoe_recorded_path(const struct recorded *step);
json_t *fsmoe_recorded_windows(const struct recorded *step);

/* Why a lane, or a step, stands still: each with the event that ends it. */
enum wait_cause
{
	WAIT_DEPENDENCY,
	WAIT_ORDER,
	WAIT_PEER,
	WAIT_LINK,
	WAIT_SCHEDULER,
	WAIT_OVERHEAD,
	WAIT_SUBMISSION,
	WAIT_DONE,
	WAIT_UNEXPLAINED,
	WAIT_CAUSES
};

struct wait_cause_row
{
	const char *name, *doc;
};
extern const struct wait_cause_row fsmoe_wait_causes[WAIT_CAUSES];

/* A communication counts as slow from so many times what it takes as a rule. */
#define RECORDED_SLOW 2.0

#endif
