/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_PLACEMENT_H
#define FSMOE_PLAN_PLACEMENT_H

#include "plan/gradient_list.h"
#include "plan/layer_walk.h"

/* The degrees that a layer can have. */
struct fsmoe_placement_layer
{
	struct fsmoe_option_cost *forward, *backward; /* ascending degrees */
	int nforward, nbackward;
	int best; /* index in backward: best without gradients */
	int own;  /* 0: the options belong to the layer before */
};

/* A plan while it is made: the degrees of its layers are known, its gradients are placed next. */
struct fsmoe_placement
{
	const struct fsmoe_plan_problem *problem;
	const struct fsmoe_schedule *row;
	struct fsmoe_plan *plan;
	struct fsmoe_placement_layer *layer; /* in forward order */
	struct fsmoe_gradient_list list;
};

/* Fills every share of the plan, and its tail, by the row's column `gradients`. -ENOMEM. */
int fsmoe_place_gradients(struct fsmoe_placement *placement);

/* Bytes that a layer exchanges: whole floats. */
uint64_t fsmoe_gradient_bytes(const struct fsmoe_layer_cost *cost);

/* The rule `adaptive`: for a model from end to end, and for layers that go round. */
int fsmoe_place_adaptive(struct fsmoe_placement *placement);
void fsmoe_place_adaptive_steady(struct fsmoe_placement *placement);

#endif
