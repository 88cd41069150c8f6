/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_SHARES_H
#define FSMOE_PLAN_SHARES_H

#include "plan/exchange.h"
#include "plan/layer.h"

/* A plan being made: where gradients go, once degrees without them are known. */
struct fsmoe_shares_layer
{
	struct fsmoe_option_cost *forward, *backward; /* ascending degrees */
	int nforward, nbackward;
	int best; /* place in backward, without gradients */
	int own;  /* 0: the options are those of the layer before */
};

struct fsmoe_shares
{
	const struct fsmoe_plan_problem *problem;
	const struct fsmoe_schedule *row;
	struct fsmoe_plan *plan;
	struct fsmoe_shares_layer *layer; /* in forward order */
	struct fsmoe_flat flat;
};

/* Fills every share of the plan, and its tail, by the row's column `gradients`. */
int fsmoe_place_gradients(struct fsmoe_shares *shares);

/* Bytes that a layer exchanges: whole floats. */
uint64_t fsmoe_gradient_of(const struct fsmoe_layer_cost *cost);

/* The adaptive cut: of a model from end to end, that improved where buffers have ends, and of
 * layers that go round. */
int fsmoe_place_adaptive(struct fsmoe_shares *shares);
int fsmoe_place_whole_buffers(struct fsmoe_shares *shares);
void fsmoe_place_adaptive_steady(struct fsmoe_shares *shares);

#endif
