/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/comm.h"
#include "comm/watch.h"

#include <fsmoe/error.h>
#include <stdint.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Ordered sums. MPI_Allreduce may add in another order for another message size or another
 * library; here every element is ((rank 0 + rank 1) + rank 2) + ..., computed by one rank from
 * the values themselves, so the bits depend on nothing else.
 */

/* Buffers up to this size are sent whole to everybody, who all add: one exchange, not two. */
#define SMALL ((size_t)2048)

static size_t real_size(enum fsmoe_real real)
{
	return real == FSMOE_F64 ? sizeof(double) : sizeof(float);
}

/* Adding in strips keeps the sum in cache while the ranks' parts stream by. */
#define STRIP ((size_t)2048)

#define DEFINE_SUM(name, type)                                                                     \
	static void name(const type *parts, int size, size_t stride, size_t count, type *sum)      \
	{                                                                                          \
		for (size_t from = 0; from < count; from += STRIP)                                 \
		{                                                                                  \
			size_t to = from + STRIP < count ? from + STRIP : count;                   \
			memcpy(sum + from, parts + from, (to - from) * sizeof(type));              \
			for (int k = 1; k < size; k++)                                             \
				for (size_t i = from; i < to; i++)                                 \
					sum[i] += parts[(size_t)k * stride + i];                   \
		}                                                                                  \
	}
DEFINE_SUM(sum_f32, float)
DEFINE_SUM(sum_f64, double)

/* sum[i] = parts[i] + parts[stride + i] + ..., `size` terms from the left. */
static void sum(enum fsmoe_real real, const void *parts, int size, size_t stride, size_t count,
		void *result)
{
	if (real == FSMOE_F64)
		sum_f64(parts, size, stride, count, result);
	else
		sum_f32(parts, size, stride, count, result);
}

static int grow(struct fsmoe_comm *comm, size_t bytes)
{
	if (bytes <= comm->scratch_bytes)
		return 0;
	void *fresh = NULL;
	if (posix_memalign(&fresh, 64, bytes))
		return fsmoe_fail(ENOMEM,
				  "no memory for sums over group %s: %zu bytes wanted; use smaller "
				  "gradient pieces",
				  fsmoe_group_name(comm->kind), bytes);
	/* Touched now, so that the first step does not pay for the pages. */
	memset(fresh, 0, bytes);
	free(comm->scratch);
	comm->scratch = fresh;
	comm->scratch_bytes = bytes;
	return 0;
}

int fsmoe_comm_reserve(struct fsmoe_comm *comm, size_t bytes)
{
	size_t size = (size_t)comm->size;

	if (size == 1)
		return 0;
	if (bytes > SIZE_MAX - size * (SMALL + sizeof(double)))
		return fsmoe_fail(EINVAL, "sums over %zu bytes do not fit into memory", bytes);
	/* A slice is rounded up to whole elements; small buffers arrive whole from every rank. */
	size_t sliced = bytes + size * sizeof(double);
	size_t whole = size * (bytes < SMALL ? bytes : SMALL);
	return grow(comm, sliced > whole ? sliced : whole);
}

static int check(const struct fsmoe_comm *comm, enum fsmoe_real real, size_t count,
		 const char *what)
{
	if ((int)real < 0 || real >= FSMOE_NREALS)
		return fsmoe_fail(EINVAL, "%s over group %s: there is no real type %d", what,
				  fsmoe_group_name(comm->kind), (int)real);
	if (count > SIZE_MAX / sizeof(double) / (size_t)comm->size / 2)
		return fsmoe_fail(EINVAL, "%s over group %s: %zu elements are too many", what,
				  fsmoe_group_name(comm->kind), count);
	return 0;
}

static int reduce_scatter(struct fsmoe_comm *comm, enum fsmoe_real real, const void *send,
			  void *recv, size_t count)
{
	size_t *bytes = comm->parts, *at = comm->parts + comm->size;

	for (int i = 0; i < comm->size; i++)
	{
		bytes[i] = count * real_size(real);
		at[i] = (size_t)i * bytes[i];
	}
	int ret = comm->backend->alltoallv(comm, send, bytes, at, comm->scratch, bytes, at);
	if (!ret)
		sum(real, comm->scratch, comm->size, count, count, recv);
	return ret;
}

int fsmoe_comm_reduce_scatter(struct fsmoe_comm *comm, enum fsmoe_real real, const void *send,
			      void *recv, size_t count)
{
	int ret = check(comm, real, count, "reduce_scatter");
	if (!ret)
		ret = fsmoe_comm_reserve(comm, (size_t)comm->size * count * real_size(real));
	if (ret)
		return ret;

	fsmoe_watch_enter(comm->watch, comm->kind, "reduce_scatter");
	if (comm->size > 1)
		ret = reduce_scatter(comm, real, send, recv, count);
	else if (send != recv && count)
		memcpy(recv, send, count * real_size(real));
	fsmoe_watch_leave(comm->watch, comm->kind);
	return ret;
}

/* Rows arrive packed, rank after rank, and are added up run by run. */
static int reduce_scatter_rows(struct fsmoe_comm *comm, enum fsmoe_real real,
			       const struct fsmoe_runs *out, const void *send, struct fsmoe_runs in,
			       void *recv, size_t columns)
{
	size_t rows = fsmoe_runs_rows(in), bytes = columns * real_size(real), done = 0;
	struct fsmoe_span part[comm->size];
	struct fsmoe_runs packed[comm->size];
	int ret;

	for (int p = 0; p < comm->size; p++)
	{
		part[p] = (struct fsmoe_span){(size_t)p * rows, rows};
		packed[p] = (struct fsmoe_runs){rows > 0, &part[p]};
	}
	ret = comm->backend->exchange_rows(comm, out, send, packed, comm->scratch, bytes);
	for (size_t i = 0; i < in.n && !ret; i++)
	{
		sum(real, (const char *)comm->scratch + done * bytes, comm->size, rows * columns,
		    in.run[i].n * columns, (char *)recv + in.run[i].at * bytes);
		done += in.run[i].n;
	}
	return ret;
}

int fsmoe_comm_reduce_scatter_rows(struct fsmoe_comm *comm, enum fsmoe_real real,
				   const struct fsmoe_runs *out, const void *send,
				   struct fsmoe_runs in, void *recv, size_t columns)
{
	const size_t count = fsmoe_runs_rows(in) * columns;
	int ret = check(comm, real, count, "reduce_scatter_rows");

	if (!ret)
		ret = fsmoe_comm_reserve(comm, (size_t)comm->size * count * real_size(real));
	if (ret)
		return ret;
	fsmoe_watch_enter(comm->watch, comm->kind, "reduce_scatter_rows");
	if (comm->size > 1)
		ret = reduce_scatter_rows(comm, real, out, send, in, recv, columns);
	else if (send != recv)
		fsmoe_runs_copy(recv, in, send, out[0], columns * real_size(real));
	fsmoe_watch_leave(comm->watch, comm->kind);
	return ret;
}

/* Everybody gets everything and adds. */
static int allreduce_whole(struct fsmoe_comm *comm, enum fsmoe_real real, void *data, size_t count)
{
	size_t n = (size_t)comm->size, *send_at = comm->parts, *bytes = comm->parts + n;
	size_t *recv_at = comm->parts + 2 * n;

	for (size_t i = 0; i < n; i++)
	{
		bytes[i] = count * real_size(real);
		send_at[i] = 0;
		recv_at[i] = i * bytes[i];
	}
	int ret =
		comm->backend->alltoallv(comm, data, bytes, send_at, comm->scratch, bytes, recv_at);
	if (!ret)
		sum(real, comm->scratch, comm->size, count, count, data);
	return ret;
}

/* Each rank adds one slice (the first count % size of them are an element longer), then the sums
 * go round. */
static int allreduce_sliced(struct fsmoe_comm *comm, enum fsmoe_real real, void *data, size_t count)
{
	size_t n = (size_t)comm->size, me = (size_t)comm->rank, real_bytes = real_size(real);
	size_t *bytes = comm->parts, *at = comm->parts + n;
	size_t *my_bytes = comm->parts + 2 * n, *my_at = comm->parts + 3 * n;

	for (size_t i = 0, from = 0; i < n; i++)
	{
		bytes[i] = (count / n + (i < count % n)) * real_bytes;
		at[i] = from;
		from += bytes[i];
	}
	size_t mine = bytes[me];
	for (size_t i = 0; i < n; i++)
	{
		my_bytes[i] = mine;
		my_at[i] = i * mine;
	}
	int ret = comm->backend->alltoallv(comm, data, bytes, at, comm->scratch, my_bytes, my_at);
	if (ret)
		return ret;

	sum(real, comm->scratch, comm->size, mine / real_bytes, mine / real_bytes,
	    (char *)data + at[me]);
	for (size_t i = 0; i < n; i++)
		my_at[i] = at[me];
	/* In place: a rank's own slice is where it belongs, the backend leaves it alone. */
	return comm->backend->alltoallv(comm, data, my_bytes, my_at, data, bytes, at);
}

int fsmoe_comm_allreduce(struct fsmoe_comm *comm, enum fsmoe_real real, void *data, size_t count)
{
	int ret = check(comm, real, count, "allreduce");
	if (!ret)
		ret = fsmoe_comm_reserve(comm, count * real_size(real));
	if (ret)
		return ret;

	fsmoe_watch_enter(comm->watch, comm->kind, "allreduce");
	if (comm->size > 1 && count * real_size(real) <= SMALL)
		ret = allreduce_whole(comm, real, data, count);
	else if (comm->size > 1)
		ret = allreduce_sliced(comm, real, data, count);
	fsmoe_watch_leave(comm->watch, comm->kind);
	return ret;
}
