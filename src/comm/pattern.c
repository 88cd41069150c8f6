/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/pattern.h"

#include <string.h>

static const struct fsmoe_pieces nothing = {0, 0, 0, 0};

/* Peer p's part of a buffer that has a part for everybody; the whole of one that has not. */
static struct fsmoe_pieces part(const struct fsmoe_pattern *x, int p)
{
	return (struct fsmoe_pieces){(size_t)p * x->bytes, x->outer, x->bytes,
				     (size_t)x->size * x->bytes};
}

static struct fsmoe_pieces whole(const struct fsmoe_pattern *x)
{
	return (struct fsmoe_pieces){0, x->outer, x->bytes, x->bytes};
}

struct fsmoe_pieces fsmoe_pattern_send(const struct fsmoe_pattern *x, int peer)
{
	switch (x->kind)
	{
	case FSMOE_PATTERN_GATHER:
		return peer == 0 ? whole(x) : nothing;
	case FSMOE_PATTERN_SCATTER:
		return x->rank == 0 ? part(x, peer) : nothing;
	default:
		return part(x, peer);
	}
}

struct fsmoe_pieces fsmoe_pattern_recv(const struct fsmoe_pattern *x, int peer)
{
	switch (x->kind)
	{
	case FSMOE_PATTERN_GATHER:
		return x->rank == 0 ? part(x, peer) : nothing;
	case FSMOE_PATTERN_SCATTER:
		return peer == 0 ? whole(x) : nothing;
	default:
		return part(x, peer);
	}
}

const char *fsmoe_pattern_name(enum fsmoe_pattern_kind kind)
{
	static const char *const names[] = {"alltoall", "gather", "scatter"};

	return names[kind];
}

void fsmoe_pieces_copy(void *to, struct fsmoe_pieces recv, const void *from,
		       struct fsmoe_pieces send)
{
	for (size_t i = 0; i < send.n; i++)
		memcpy((char *)to + recv.at + i * recv.stride,
		       (const char *)from + send.at + i * send.stride, send.bytes);
}

size_t fsmoe_runs_rows(struct fsmoe_runs runs)
{
	size_t rows = 0;

	for (size_t i = 0; i < runs.n; i++)
		rows += runs.run[i].n;
	return rows;
}

void fsmoe_runs_copy(void *to, struct fsmoe_runs in, const void *from, struct fsmoe_runs out,
		     size_t bytes)
{
	size_t i = 0, k = 0, got = 0, given = 0; /* of runs i and k */

	while (i < in.n && k < out.n)
	{
		size_t left = in.run[i].n - got, more = out.run[k].n - given;
		size_t n = left < more ? left : more;
		memcpy((char *)to + (in.run[i].at + got) * bytes,
		       (const char *)from + (out.run[k].at + given) * bytes, n * bytes);
		got += n;
		given += n;
		if (got == in.run[i].n)
			i++, got = 0;
		if (given == out.run[k].n)
			k++, given = 0;
	}
}
