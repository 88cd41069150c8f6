/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_EXCHANGE_H
#define FSMOE_PLAN_EXCHANGE_H

#include <fsmoe/plan.h>

/*
 * The flat list that gradients are sent from, in the order in which a backward completes them: of
 * a step's last layer first, or of layers that go round. A plan says how many bytes go where; they
 * are the next ones of the list. An AllReduce ends with its buffer, so what lies in three buffers
 * pays three starts.
 */
struct fsmoe_flat
{
	double alpha, beta;
	uint64_t *end; /* of the buffers that have an end: fsmoe_layer_cost.buckets */
	int n;
};

int fsmoe_flat_create(struct fsmoe_flat *flat, const struct fsmoe_plan_problem *problem);
void fsmoe_flat_destroy(struct fsmoe_flat *flat);

/* Seconds of the exchange of a share whose first byte is `from`. */
double fsmoe_flat_seconds(const struct fsmoe_flat *flat, uint64_t from, struct fsmoe_share share);
/* Bytes from `from` on that are summed, in one piece, in so many seconds: INFINITY where bytes cost
 * nothing. */
double fsmoe_flat_bytes(const struct fsmoe_flat *flat, uint64_t from, double seconds);
/* The same in whole floats, at most `most`. */
uint64_t fsmoe_flat_within(const struct fsmoe_flat *flat, uint64_t from, double seconds,
			   uint64_t most);

/* The ends of buffers around a byte: the last one up to it (0: none), the first one after it
 * (UINT64_MAX: none). */
void fsmoe_flat_ends(const struct fsmoe_flat *flat, uint64_t byte, uint64_t *before,
		     uint64_t *after);

/* Seconds of every share of a plan, in the order in which they are sent: beside the mixture and
 * the dense part of the last layer, ..., of the first; after the backward. 2 * layers + 1. */
void fsmoe_flat_plan(const struct fsmoe_flat *flat, const struct fsmoe_plan *plan, double *seconds);

#endif
