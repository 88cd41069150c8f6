/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_OPS_TRANSFERS_H
#define TESTS_OPS_TRANSFERS_H

#include "tests/lib/opcase.h"

/*
 * Collectives as operations, on four ranks: two nodes of two. What a rank holds is noise of (rank,
 * index), so every rank can say what all must get, forward and backward.
 */

/* Made by job_start, as cmocka likes it. */
extern struct job
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_comms_t comms;
} job;
int job_start(void **state);
int job_stop(void **state);

struct group
{
	enum fsmoe_group kind;
	size_t size, me;
	int rank[4]; /* of each member, in all */
};

struct group group_of(enum fsmoe_group kind);

enum stream
{
	X,
	DY
};

/* Element i of what a member holds. */
double held(const struct group *g, size_t member, enum stream stream, size_t i);

/* By plain loops: element i of y on this rank, from x on all. */
struct transfer
{
	const char *name;
	fsmoe_tensor_t (*append)(fsmoe_graph_t, fsmoe_tensor_t, enum fsmoe_group);
	/* n: elements of x. dx from dy is the transposed one of y from x. */
	double (*y)(const struct group *g, enum stream stream, size_t n, size_t i);
	double (*dx)(const struct group *g, enum stream stream, size_t n, size_t i);
	size_t (*out)(const struct group *g, size_t n);
};

enum
{
	NTRANSFERS = 4,
	NKINDS = 4
};
extern const struct transfer transfers[NTRANSFERS];
extern const enum fsmoe_group kinds[NKINDS];

/* A graph with a transfer and its gradient; dy is an input. */
struct run
{
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	fsmoe_tensor_t param, x, y, dy;
	size_t n, nout;
};

void run_setup(struct run *r, const struct transfer *t, const struct group *g,
	       struct fsmoe_shape shape);
void run_fill(struct run *r, const struct group *g);
void run_teardown(struct run *r);

#endif
