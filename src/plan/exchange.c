/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/exchange.h"
#include "plan/partition.h"
#include "plan/shares.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

/* Where the gradients of a layer end that begin at `at`. */
static uint64_t add_layer(struct fsmoe_flat *flat, const struct fsmoe_layer_cost *cost, uint64_t at)
{
	uint64_t end = at;

	for (int k = 0; k < cost->buckets; k++)
	{
		end += (uint64_t)cost->bucket_bytes[k];
		flat->end[flat->n++] = end;
	}
	return at + fsmoe_gradient_of(cost);
}

int fsmoe_flat_create(struct fsmoe_flat *flat, const struct fsmoe_plan_problem *p)
{
	size_t n = 1;
	uint64_t at = 0;

	for (int i = 0; i < p->layers; i++)
		n += (size_t)p->layer[i].buckets;
	*flat = (struct fsmoe_flat){.alpha = p->allreduce_alpha,
				    .beta = p->allreduce_beta,
				    .end = malloc(n * sizeof(*flat->end))};
	if (!flat->end)
		return fsmoe_fail(ENOMEM, "no memory for the gradients of %d layers", p->layers);
	/* Where layers go round, the first one's were left from the round before. */
	if (p->steady)
		at = add_layer(flat, &p->layer[0], at);
	for (int i = p->layers - 1; i >= p->steady; i--)
		at = add_layer(flat, &p->layer[i], at);
	return 0;
}

void fsmoe_flat_destroy(struct fsmoe_flat *flat)
{
	free(flat->end);
	*flat = (struct fsmoe_flat){0};
}

/* The first buffer that ends after a byte; n: none does. */
static int after(const struct fsmoe_flat *flat, uint64_t byte)
{
	int low = 0, high = flat->n;

	while (low < high)
	{
		const int middle = (low + high) / 2;

		if (flat->end[middle] > byte)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* As src/step/gradients.c sends them: pieces of equally many floats, the last takes what is over,
 * and of each piece an AllReduce a buffer. */
static int count(const struct fsmoe_flat *flat, uint64_t from, struct fsmoe_share share)
{
	const uint64_t end = from + share.bytes;
	uint64_t left = share.bytes / 4;
	int k = after(flat, from), n = 0;

	if (k == flat->n || flat->end[k] >= end)
		return share.pieces; /* no buffer ends inside */
	if (share.pieces == 1)
		return 1 + after(flat, end - 1) - k;
	for (int piece = share.pieces; piece > 0 && left > 0; piece--)
	{
		const uint64_t one = left / (uint64_t)piece, to = from + 4 * one;

		if (one == 0)
			continue;
		left -= one;
		n++;
		for (; k < flat->n && flat->end[k] <= to; k++)
			n += flat->end[k] > from && flat->end[k] < to;
		from = to;
	}
	return n;
}

double fsmoe_flat_seconds(const struct fsmoe_flat *flat, uint64_t from, struct fsmoe_share share)
{
	return share.bytes
		       ? count(flat, from, share) * flat->alpha + flat->beta * (double)share.bytes
		       : 0;
}

double fsmoe_flat_bytes(const struct fsmoe_flat *flat, uint64_t from, double seconds)
{
	double bytes = 0;

	for (int k = after(flat, from); k < flat->n; k++)
	{
		const double left = (double)(flat->end[k] - from),
			     whole = fsmoe_line_seconds(flat->alpha, flat->beta, left);

		if (whole >= seconds)
			break;
		bytes += left;
		seconds -= whole;
		from = flat->end[k];
	}
	return bytes + fsmoe_allreduce_bytes(flat->alpha, flat->beta, seconds);
}

uint64_t fsmoe_flat_within(const struct fsmoe_flat *flat, uint64_t from, double seconds,
			   uint64_t most)
{
	const double bytes = fsmoe_flat_bytes(flat, from, seconds);

	/* A whole share that fits but for rounding fits. */
	if (bytes >= (double)most * (1 - 1e-12))
		return most;
	return (uint64_t)(bytes / 4) * 4;
}

void fsmoe_flat_ends(const struct fsmoe_flat *flat, uint64_t byte, uint64_t *before,
		     uint64_t *first_after)
{
	const int k = after(flat, byte);

	*before = k > 0 ? flat->end[k - 1] : 0;
	*first_after = k < flat->n ? flat->end[k] : UINT64_MAX;
}

void fsmoe_flat_plan(const struct fsmoe_flat *flat, const struct fsmoe_plan *plan, double *seconds)
{
	uint64_t from = 0;

	for (int i = plan->layers - 1; i >= 0; i--)
	{
		const struct fsmoe_plan_layer *l = &plan->layer[i];

		*seconds++ = fsmoe_flat_seconds(flat, from, l->moe);
		from += l->moe.bytes;
		*seconds++ = fsmoe_flat_seconds(flat, from, l->dense);
		from += l->dense.bytes;
	}
	*seconds = fsmoe_flat_seconds(flat, from, plan->tail);
}
