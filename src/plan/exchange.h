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
	uint64_t *end;   /* of the buffers that have an end: fsmoe_layer_cost.buckets */
	double *seconds; /* of each, sent whole */
	int n;
};

/* A place in the list: a byte, and the first buffer that ends after it (n: none does). */
struct fsmoe_spot
{
	uint64_t byte;
	int buffer;
};

int fsmoe_flat_create(struct fsmoe_flat *flat, const struct fsmoe_plan_problem *problem);
void fsmoe_flat_destroy(struct fsmoe_flat *flat);

struct fsmoe_spot fsmoe_flat_at(const struct fsmoe_flat *flat, uint64_t byte);

/* Seconds of the exchange of a share whose first byte is `from`. */
double fsmoe_flat_seconds(const struct fsmoe_flat *flat, uint64_t from, struct fsmoe_share share);
/* The same in one piece that ends before `to`. */
double fsmoe_flat_between(const struct fsmoe_flat *flat, struct fsmoe_spot from,
			  struct fsmoe_spot to);
/* Bytes from `from` on that are summed, in one piece, in so many seconds: INFINITY where bytes cost
 * nothing. */
double fsmoe_flat_bytes(const struct fsmoe_flat *flat, struct fsmoe_spot from, double seconds);
/* Where they end, in whole floats, at `most` at the latest. */
struct fsmoe_spot fsmoe_flat_within(const struct fsmoe_flat *flat, struct fsmoe_spot from,
				    double seconds, struct fsmoe_spot most);

/* The ends of buffers around a spot: the last one up to it (0: none), the first one after it
 * (UINT64_MAX: none). */
struct fsmoe_spot fsmoe_flat_end_before(const struct fsmoe_flat *flat, struct fsmoe_spot spot);
struct fsmoe_spot fsmoe_flat_end_after(const struct fsmoe_flat *flat, struct fsmoe_spot spot);

/* Seconds of every share of a plan, in the order in which they are sent: beside the mixture and
 * the dense part of the last layer, ..., of the first; after the backward. 2 * layers + 1. */
void fsmoe_flat_plan(const struct fsmoe_flat *flat, const struct fsmoe_plan *plan, double *seconds);

#endif
