/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/gradient_list.h"

#include "plan/gradient_windows.h"
#include "plan/placement.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

/* Returns where the gradients of a layer end that begin at `at`. */
static uint64_t add_layer(struct fsmoe_gradient_list *list, const struct fsmoe_layer_cost *cost,
			  uint64_t at)
{
	uint64_t end = at;

	for (int k = 0; k < cost->buckets; k++)
	{
		const uint64_t before = list->n > 0 ? list->end[list->n - 1] : 0;

		end += (uint64_t)cost->bucket_bytes[k];
		list->end[list->n] = end;
		list->seconds[list->n++] =
			fsmoe_line_seconds(list->alpha, list->beta, (double)(end - before));
	}
	return at + fsmoe_gradient_bytes(cost);
}

int fsmoe_gradient_list_create(struct fsmoe_gradient_list *list, const struct fsmoe_plan_problem *p)
{
	size_t n = 1;
	uint64_t at = 0;

	for (int i = 0; i < p->layers; i++)
		n += (size_t)p->layer[i].buckets;
	*list = (struct fsmoe_gradient_list){.alpha = p->allreduce_alpha,
					     .beta = p->allreduce_beta,
					     .end = malloc(n * sizeof(*list->end)),
					     .seconds = malloc(n * sizeof(*list->seconds))};
	if (!list->end || !list->seconds)
	{
		fsmoe_gradient_list_destroy(list);
		return fsmoe_fail(ENOMEM, "no memory for the gradients of %d layers", p->layers);
	}
	/* Where layers go round, the first layer's were left from the round before. */
	if (p->steady)
		at = add_layer(list, &p->layer[0], at);
	for (int i = p->layers - 1; i >= p->steady; i--)
		at = add_layer(list, &p->layer[i], at);
	return 0;
}

void fsmoe_gradient_list_destroy(struct fsmoe_gradient_list *list)
{
	free(list->end);
	free(list->seconds);
	*list = (struct fsmoe_gradient_list){0};
}

struct fsmoe_gradient_position fsmoe_gradient_position_at(const struct fsmoe_gradient_list *list,
							  uint64_t byte)
{
	int low = 0, high = list->n;

	while (low < high)
	{
		const int middle = (low + high) / 2;

		if (list->end[middle] > byte)
			high = middle;
		else
			low = middle + 1;
	}
	return (struct fsmoe_gradient_position){byte, low};
}

/* Does fsmoe_gradient_position_at, if no bucket before this one ends after the byte. */
static struct fsmoe_gradient_position at_from(const struct fsmoe_gradient_list *list, uint64_t byte,
					      int bucket)
{
	while (bucket < list->n && list->end[bucket] <= byte)
		bucket++;
	return (struct fsmoe_gradient_position){byte, bucket};
}

/* Counts the AllReduces of a share as src/step/gradients.c sends them: in pieces of equally many
 * floats, the last takes the remainder, and each piece has one AllReduce a bucket. */
static int count_allreduces(const struct fsmoe_gradient_list *list, uint64_t from,
			    struct fsmoe_share share)
{
	const uint64_t end = from + share.bytes;
	uint64_t left = share.bytes / 4;
	int k = fsmoe_gradient_position_at(list, from).bucket, n = 0;

	if (k == list->n || list->end[k] >= end)
		return share.pieces; /* no bucket ends inside */
	for (int piece = share.pieces; piece > 0 && left > 0; piece--)
	{
		const uint64_t one = left / (uint64_t)piece, to = from + 4 * one;

		if (one == 0)
			continue;
		left -= one;
		n++;
		for (; k < list->n && list->end[k] <= to; k++)
			n += list->end[k] > from && list->end[k] < to;
		from = to;
	}
	return n;
}

double fsmoe_gradient_share_seconds(const struct fsmoe_gradient_list *list, uint64_t from,
				    struct fsmoe_share share)
{
	return share.bytes ? count_allreduces(list, from, share) * list->alpha +
				     list->beta * (double)share.bytes
			   : 0;
}

double fsmoe_gradient_seconds(const struct fsmoe_gradient_list *list,
			      struct fsmoe_gradient_position from,
			      struct fsmoe_gradient_position to)
{
	const uint64_t bytes = to.byte - from.byte;
	int last = to.bucket;

	if (bytes == 0)
		return 0;
	while (last > from.bucket && list->end[last - 1] == to.byte)
		last--;
	return (1 + last - from.bucket) * list->alpha + list->beta * (double)bytes;
}

/* Bytes of one piece of that many seconds, and the bucket in which it ends. A result above `limit`
 * only says that it is above. */
static double bytes_within(const struct fsmoe_gradient_list *list,
			   struct fsmoe_gradient_position from, double seconds, uint64_t limit,
			   int *bucket)
{
	uint64_t at = from.byte;
	int k = from.bucket;
	double whole = k < list->n ? fsmoe_line_seconds(list->alpha, list->beta,
							(double)(list->end[k] - at))
				   : INFINITY;

	while (whole < seconds && at - from.byte < limit)
	{
		seconds -= whole;
		at = list->end[k++];
		whole = k < list->n ? list->seconds[k] : INFINITY;
	}
	*bucket = k;
	return (double)(at - from.byte) + fsmoe_allreduce_bytes(list->alpha, list->beta, seconds);
}

struct fsmoe_gradient_position fsmoe_gradient_fit(const struct fsmoe_gradient_list *list,
						  struct fsmoe_gradient_position from,
						  double seconds, double (*whole)(double),
						  struct fsmoe_gradient_position limit)
{
	const uint64_t all = limit.byte - from.byte;
	int bucket;
	const double bytes = bytes_within(list, from, seconds, all, &bucket);

	/* A whole share that fits but for rounding fits. */
	if (bytes >= (double)all * (1 - 1e-12))
		return limit;
	return at_from(list, from.byte + 4 * (uint64_t)whole(bytes / 4), bucket);
}

struct fsmoe_gradient_position fsmoe_gradient_end_before(const struct fsmoe_gradient_list *list,
							 struct fsmoe_gradient_position position)
{
	return (struct fsmoe_gradient_position){
		position.bucket > 0 ? list->end[position.bucket - 1] : 0, position.bucket};
}

struct fsmoe_gradient_position fsmoe_gradient_end_after(const struct fsmoe_gradient_list *list,
							struct fsmoe_gradient_position position)
{
	if (position.bucket == list->n)
		return (struct fsmoe_gradient_position){UINT64_MAX, list->n};
	return at_from(list, list->end[position.bucket], position.bucket);
}

void fsmoe_gradient_plan_seconds(const struct fsmoe_gradient_list *list,
				 const struct fsmoe_plan *plan, double *seconds)
{
	uint64_t from = 0;

	for (int i = plan->layers - 1; i >= 0; i--)
	{
		const struct fsmoe_plan_layer *l = &plan->layer[i];

		*seconds++ = fsmoe_gradient_share_seconds(list, from, l->moe);
		from += l->moe.bytes;
		*seconds++ = fsmoe_gradient_share_seconds(list, from, l->dense);
		from += l->dense.bytes;
	}
	*seconds = fsmoe_gradient_share_seconds(list, from, plan->tail);
}
