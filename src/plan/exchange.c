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
		const uint64_t before = flat->n > 0 ? flat->end[flat->n - 1] : 0;

		end += (uint64_t)cost->bucket_bytes[k];
		flat->end[flat->n] = end;
		flat->seconds[flat->n++] =
			fsmoe_line_seconds(flat->alpha, flat->beta, (double)(end - before));
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
				    .end = malloc(n * sizeof(*flat->end)),
				    .seconds = malloc(n * sizeof(*flat->seconds))};
	if (!flat->end || !flat->seconds)
	{
		fsmoe_flat_destroy(flat);
		return fsmoe_fail(ENOMEM, "no memory for the gradients of %d layers", p->layers);
	}
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
	free(flat->seconds);
	*flat = (struct fsmoe_flat){0};
}

struct fsmoe_spot fsmoe_flat_at(const struct fsmoe_flat *flat, uint64_t byte)
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
	return (struct fsmoe_spot){byte, low};
}

/* The same where no buffer before this one ends after the byte. */
static struct fsmoe_spot at_from(const struct fsmoe_flat *flat, uint64_t byte, int buffer)
{
	while (buffer < flat->n && flat->end[buffer] <= byte)
		buffer++;
	return (struct fsmoe_spot){byte, buffer};
}

/* As src/step/gradients.c sends them: pieces of equally many floats, the last takes what is over,
 * and of each piece an AllReduce a buffer. */
static int count(const struct fsmoe_flat *flat, uint64_t from, struct fsmoe_share share)
{
	const uint64_t end = from + share.bytes;
	uint64_t left = share.bytes / 4;
	int k = fsmoe_flat_at(flat, from).buffer, n = 0;

	if (k == flat->n || flat->end[k] >= end)
		return share.pieces; /* no buffer ends inside */
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

double fsmoe_flat_between(const struct fsmoe_flat *flat, struct fsmoe_spot from,
			  struct fsmoe_spot to)
{
	const uint64_t bytes = to.byte - from.byte;
	int last = to.buffer;

	if (bytes == 0)
		return 0;
	while (last > from.buffer && flat->end[last - 1] == to.byte)
		last--;
	return (1 + last - from.buffer) * flat->alpha + flat->beta * (double)bytes;
}

/* Where so many seconds end: after `*at`, in its buffer. Not far beyond `most`: what is more comes
 * out as some number above it. */
static double bytes_within(const struct fsmoe_flat *flat, struct fsmoe_spot from, double seconds,
			   uint64_t most, int *buffer)
{
	uint64_t at = from.byte;
	int k = from.buffer;
	double whole = k < flat->n ? fsmoe_line_seconds(flat->alpha, flat->beta,
							(double)(flat->end[k] - at))
				   : INFINITY;

	while (whole < seconds && at - from.byte < most)
	{
		seconds -= whole;
		at = flat->end[k++];
		whole = k < flat->n ? flat->seconds[k] : INFINITY;
	}
	*buffer = k;
	return (double)(at - from.byte) + fsmoe_allreduce_bytes(flat->alpha, flat->beta, seconds);
}

double fsmoe_flat_bytes(const struct fsmoe_flat *flat, struct fsmoe_spot from, double seconds)
{
	int buffer;

	return bytes_within(flat, from, seconds, UINT64_MAX, &buffer);
}

struct fsmoe_spot fsmoe_flat_within(const struct fsmoe_flat *flat, struct fsmoe_spot from,
				    double seconds, struct fsmoe_spot most)
{
	const uint64_t all = most.byte - from.byte;
	int buffer;
	const double bytes = bytes_within(flat, from, seconds, all, &buffer);

	/* A whole share that fits but for rounding fits. */
	if (bytes >= (double)all * (1 - 1e-12))
		return most;
	return at_from(flat, from.byte + (uint64_t)(bytes / 4) * 4, buffer);
}

struct fsmoe_spot fsmoe_flat_end_before(const struct fsmoe_flat *flat, struct fsmoe_spot spot)
{
	return (struct fsmoe_spot){spot.buffer > 0 ? flat->end[spot.buffer - 1] : 0, spot.buffer};
}

struct fsmoe_spot fsmoe_flat_end_after(const struct fsmoe_flat *flat, struct fsmoe_spot spot)
{
	if (spot.buffer == flat->n)
		return (struct fsmoe_spot){UINT64_MAX, flat->n};
	return at_from(flat, flat->end[spot.buffer], spot.buffer);
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
