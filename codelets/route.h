/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_ROUTE_H
#define FSMOE_ROUTE_H

#include "codelets/kernels.h"

#include <fsmoe/module.h>

/*
 * From scores to lists: score (T, E) -> expert int32, slot int32, weight, all (T, width), and
 * counts int32 (groups, E).
 *
 * Tokens choose: width k, the k experts of a token's greatest scores, greatest first; slots of an
 * expert are given out by the drop policy, position p of group g is slot g * capacity + p, and who
 * comes too late has slot -1 (its weight stays, unused).
 * Experts choose: width E, entry (t, e) has expert e; in every group an expert's `capacity` tokens
 * of the greatest scores have slots in that order, all others slot -1 and weight 0.
 *
 * Weights: softmax of the scores over what one chooser took; or entries of the softmax over all
 * experts of a token; or the sigmoid of the scores.
 */
struct fsmoe_route_args
{
	size_t topk; /* 0: the experts choose */
	size_t group, capacity;
	enum fsmoe_weights weights; /* not the default */
	enum fsmoe_drop drop;
};

struct fsmoe_route
{
	fsmoe_tensor_t expert, slot, weight, counts;
};

extern const struct fsmoe_op fsmoe_op_route;
extern const struct fsmoe_op fsmoe_op_route_backward;

FSMOE_KERNELS(route);
FSMOE_KERNELS(route_backward);

/* All FSMOE_NONE when the graph failed. */
struct fsmoe_route fsmoe_route(fsmoe_graph_t graph, fsmoe_tensor_t score,
			       const struct fsmoe_route_args *args);

#endif
