/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "comm/comm.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

/*
 * A slower link than this host has: a backend around another one, whose messages take as long as
 * latency + bytes / bandwidth from when all ranks of the group are there, and never less than they
 * really take. So schedules can be compared on one host: what waits for a link leaves its core to
 * whoever computes. Bytes are what this rank sends to others or receives from them, the larger.
 */

struct emulated_link
{
	const struct fsmoe_comm_backend *backend; /* the one around which this is */
	struct fsmoe_link link;
};

/* One exchange: when it may end. */
struct due
{
	const struct emulated_link *emulated;
	double at;
};

static int begin(struct fsmoe_comm *comm, size_t bytes, struct due *due)
{
	const struct emulated_link *emulated = comm->emulated_link;
	const int err = emulated->backend->barrier(comm);

	*due = (struct due){emulated, fsmoe_clock() + emulated->link.latency +
					      (double)bytes / emulated->link.bandwidth};
	return err;
}

static int end(const struct fsmoe_comm *comm, const struct due *due, int err)
{
	const double near = comm->own_core ? 1e-3 : 0; /* s: nobody else wants the core */
	double left = due->at - fsmoe_clock();

	if (err)
		return err;
	if (left > near)
		fsmoe_clock_sleep(left - near);
	while (fsmoe_clock() < due->at)
		continue;
	return 0;
}

/* --- bytes that others get or give ---------------------------------------------------------- */

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t of_others(const struct fsmoe_comm *comm, const size_t *bytes)
{
	size_t sum = 0;

	for (int p = 0; p < comm->size; p++)
		sum += p == comm->rank ? 0 : bytes[p];
	return sum;
}

static size_t rows_of_others(const struct fsmoe_comm *comm, const struct fsmoe_runs *runs)
{
	size_t rows = 0;

	for (int p = 0; p < comm->size; p++)
		rows += p == comm->rank ? 0 : fsmoe_runs_rows(runs[p]);
	return rows;
}

static size_t pattern_bytes(const struct fsmoe_comm *comm, const struct fsmoe_pattern *pattern)
{
	size_t out = 0, in = 0;

	for (int p = 0; p < comm->size; p++)
		if (p != comm->rank)
		{
			const struct fsmoe_pieces send = fsmoe_pattern_send(pattern, p),
						  recv = fsmoe_pattern_recv(pattern, p);

			out += send.n * send.bytes;
			in += recv.n * recv.bytes;
		}
	return larger(out, in);
}

/* --- the backend ---------------------------------------------------------------------------- */

static int alltoallv(struct fsmoe_comm *comm, const void *send, const size_t *send_bytes,
		     const size_t *send_at, void *recv, const size_t *recv_bytes,
		     const size_t *recv_at)
{
	struct due due;
	int err =
		begin(comm, larger(of_others(comm, send_bytes), of_others(comm, recv_bytes)), &due);

	if (!err)
		err = due.emulated->backend->alltoallv(comm, send, send_bytes, send_at, recv,
						       recv_bytes, recv_at);
	return end(comm, &due, err);
}

static int exchange(struct fsmoe_comm *comm, const struct fsmoe_pattern *pattern, const void *send,
		    void *recv)
{
	struct due due;
	int err = begin(comm, pattern_bytes(comm, pattern), &due);

	if (!err)
		err = due.emulated->backend->exchange(comm, pattern, send, recv);
	return end(comm, &due, err);
}

static int exchange_rows(struct fsmoe_comm *comm, const struct fsmoe_runs *out, const void *send,
			 const struct fsmoe_runs *in, void *recv, size_t bytes)
{
	struct due due;
	int err = begin(comm, bytes * larger(rows_of_others(comm, out), rows_of_others(comm, in)),
			&due);

	if (!err)
		err = due.emulated->backend->exchange_rows(comm, out, send, in, recv, bytes);
	return end(comm, &due, err);
}

static int allgather(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes)
{
	struct due due;
	int err = begin(comm, (size_t)(comm->size - 1) * bytes, &due);

	if (!err)
		err = due.emulated->backend->allgather(comm, send, recv, bytes);
	return end(comm, &due, err);
}

static int broadcast(struct fsmoe_comm *comm, void *data, size_t bytes, int root)
{
	struct due due;
	int err = begin(comm, bytes, &due);

	if (!err)
		err = due.emulated->backend->broadcast(comm, data, bytes, root);
	return end(comm, &due, err);
}

static int barrier(struct fsmoe_comm *comm)
{
	const struct emulated_link *emulated = comm->emulated_link;

	return emulated->backend->barrier(comm);
}

static void destroy(struct fsmoe_comm *comm)
{
	struct emulated_link *emulated = comm->emulated_link;

	emulated->backend->destroy(comm);
	free(emulated);
}

static const struct fsmoe_comm_backend backend = {
	.name = "emulated-link",
	.destroy = destroy,
	.alltoallv = alltoallv,
	.exchange = exchange,
	.exchange_rows = exchange_rows,
	.allgather = allgather,
	.broadcast = broadcast,
	.barrier = barrier,
};

int fsmoe_comm_emulate_link(struct fsmoe_comm *comm, struct fsmoe_link link)
{
	struct emulated_link *emulated = malloc(sizeof(*emulated));

	if (!emulated)
		return fsmoe_fail(ENOMEM, "no memory for a link");
	*emulated = (struct emulated_link){comm->backend, link};
	comm->emulated_link = emulated;
	comm->backend = &backend;
	return 0;
}
