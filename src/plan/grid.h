/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_GRID_H
#define FSMOE_PLAN_GRID_H

#include <fsmoe/plan.h>

/*
 * The configured layers of the paper's Table 4: one attention and one mixture, 1458 of them on each
 * of two machines.
 */
enum fsmoe_testbed
{
	FSMOE_TESTBED_A, /* 6 nodes of 8 */
	FSMOE_TESTBED_B, /* 8 nodes of 4 */
	FSMOE_NTESTBEDS
};

enum
{
	FSMOE_GRID_POINTS = 1458
};

struct fsmoe_grid_point
{
	int batch, heads, seq, model_dim;
	int scale;     /* hidden / model_dim */
	double factor; /* k * f; 1 stands for *, nothing dropped */
	int mixtral;   /* 1: three products in an expert, 0: two */
};

/* Point i, 0 to FSMOE_GRID_POINTS - 1. */
struct fsmoe_grid_point fsmoe_grid_point(enum fsmoe_testbed testbed, int i);
/* The same as sizes, with the testbed's nodes and devices. */
struct fsmoe_layer_sizes fsmoe_grid_sizes(enum fsmoe_testbed testbed,
					  const struct fsmoe_grid_point *point);

#endif
