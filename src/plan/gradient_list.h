/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_GRADIENT_LIST_H
#define FSMOE_PLAN_GRADIENT_LIST_H

#include <fsmoe/plan.h>

/*
 * The flat list of gradients, in the order in which a backward completes them: the last layer's
 * first. A plan says how many bytes travel where; they are the next ones of the list. An AllReduce
 * ends with its bucket, so bytes from three buckets pay alpha three times.
 */
struct fsmoe_gradient_list
{
	double alpha, beta;
	uint64_t *end;   /* of the buckets that have an end: fsmoe_layer_cost.buckets */
	double *seconds; /* of each bucket, sent whole */
	int n;
};

/* A byte of the list, and the first bucket that ends after it (n: none does). */
struct fsmoe_gradient_position
{
	uint64_t byte;
	int bucket;
};

/* -ENOMEM. */
int fsmoe_gradient_list_create(struct fsmoe_gradient_list *list,
			       const struct fsmoe_plan_problem *problem);
void fsmoe_gradient_list_destroy(struct fsmoe_gradient_list *list);

struct fsmoe_gradient_position fsmoe_gradient_position_at(const struct fsmoe_gradient_list *list,
							  uint64_t byte);

/* Seconds of the exchange of a share whose first byte is `from`. */
double fsmoe_gradient_share_seconds(const struct fsmoe_gradient_list *list, uint64_t from,
				    struct fsmoe_share share);
/* Seconds of one piece from `from` up to `to`. */
double fsmoe_gradient_seconds(const struct fsmoe_gradient_list *list,
			      struct fsmoe_gradient_position from,
			      struct fsmoe_gradient_position to);
/* Where one piece ends that starts at `from` and takes that many seconds, at most at `limit`. The
 * last float is left out (`whole` is floor) or in (ceil). */
struct fsmoe_gradient_position fsmoe_gradient_fit(const struct fsmoe_gradient_list *list,
						  struct fsmoe_gradient_position from,
						  double seconds, double (*whole)(double),
						  struct fsmoe_gradient_position limit);

/* The last end of a bucket up to a position (0: none), and the first one after it (UINT64_MAX:
 * none). */
struct fsmoe_gradient_position fsmoe_gradient_end_before(const struct fsmoe_gradient_list *list,
							 struct fsmoe_gradient_position position);
struct fsmoe_gradient_position fsmoe_gradient_end_after(const struct fsmoe_gradient_list *list,
							struct fsmoe_gradient_position position);

/* Seconds of every share of a plan, in the order in which they are sent: beside the mixture and
 * the dense part of the last layer, ..., of the first layer; after the backward. Fills
 * 2 * layers + 1 numbers. */
void fsmoe_gradient_plan_seconds(const struct fsmoe_gradient_list *list,
				 const struct fsmoe_plan *plan, double *seconds);

#endif
