/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/mpi_comm.h"

#include <fsmoe/error.h>

#include <errno.h>
#include <stdlib.h>

/* --- messages that do not lie together ------------------------------------------------------ */

/* MPI walks over the pieces of a message, so nothing is packed here. bytes 0: there is none. */
struct message
{
	char *at;
	size_t bytes;
	MPI_Datatype type;
};

/* An exchange of such messages; of a pattern, bytes `done` and on of every piece. */
struct messages
{
	int (*make)(const struct messages *x, int peer, int receive, struct message *m);
	const void *send;
	void *recv;
	const struct fsmoe_pattern *pattern;
	size_t done;
	const struct fsmoe_runs *out, *in;
	MPI_Datatype row;
	size_t row_bytes;
};

/* A type that is freed lives until its messages are done. */
static int start(struct fsmoe_comm *comm, const struct messages *x, int peer, int receive, int *n)
{
	struct mpi_comm *impl = comm->impl;
	MPI_Request *request = &impl->requests[*n];
	struct message m = {.bytes = 0};
	int ret = x->make(x, peer, receive, &m);

	if (ret || m.bytes == 0)
		return ret;
	ret = fsmoe_mpi_check(MPI_Type_commit(&m.type), "MPI_Type_commit");
	if (!ret && receive)
		ret = fsmoe_mpi_check(MPI_Irecv(m.at, 1, m.type, peer, TAG, impl->comm, request),
				      "MPI_Irecv");
	else if (!ret)
		ret = fsmoe_mpi_check(MPI_Isend(m.at, 1, m.type, peer, TAG, impl->comm, request),
				      "MPI_Isend");
	MPI_Type_free(&m.type);
	(*n)++;
	return ret;
}

static int post_messages(struct fsmoe_comm *comm, const struct messages *x, int *n)
{
	int ret = 0;

	*n = 0;
	for (int k = 1; k < comm->size && !ret; k++)
		ret = start(comm, x, (comm->rank + comm->size - k) % comm->size, 1, n);
	for (int k = 1; k < comm->size && !ret; k++)
		ret = start(comm, x, (comm->rank + k) % comm->size, 0, n);
	return ret;
}

static int check_message(struct fsmoe_comm *comm, const MPI_Status *status, int from, size_t want,
			 const char *what)
{
	MPI_Count got;

	MPI_Get_elements_x(status, MPI_BYTE, &got);
	if ((size_t)got == want)
		return 0;
	return fsmoe_fail(EINVAL,
			  "%s over group %s: rank %d of it sent %lld bytes where %zu were "
			  "expected; the ranks do not agree on sizes",
			  what, fsmoe_group_name(comm->kind), from, (long long)got, want);
}

/* --- patterns ------------------------------------------------------------------------------- */

static int make_pieces(const struct messages *x, int peer, int receive, struct message *m)
{
	const struct fsmoe_pieces p = receive ? fsmoe_pattern_recv(x->pattern, peer)
					      : fsmoe_pattern_send(x->pattern, peer);
	const size_t bytes = fsmoe_mpi_piece(p.bytes, x->done);

	m->at = (receive ? (char *)x->recv : (char *)x->send) + p.at + x->done;
	m->bytes = p.n * bytes;
	if (m->bytes == 0)
		return 0;
	return fsmoe_mpi_check(MPI_Type_create_hvector((int)p.n, (int)bytes, (MPI_Aint)p.stride,
						       MPI_BYTE, &m->type),
			       "MPI_Type_create_hvector");
}

static int check_pattern(struct fsmoe_comm *comm, const struct fsmoe_pattern *x, size_t done)
{
	const MPI_Status *status = ((struct mpi_comm *)comm->impl)->status;
	int ret = 0;

	for (int k = 1; k < comm->size && !ret; k++)
	{
		int from = (comm->rank + comm->size - k) % comm->size;
		struct fsmoe_pieces p = fsmoe_pattern_recv(x, from);
		if (p.n)
			ret = check_message(comm, status++, from,
					    p.n * fsmoe_mpi_piece(p.bytes, done),
					    fsmoe_pattern_name(x->kind));
	}
	return ret;
}

int fsmoe_mpi_exchange(struct fsmoe_comm *comm, const struct fsmoe_pattern *x, const void *send,
		       void *recv)
{
	struct mpi_comm *impl = comm->impl;
	struct messages messages = {.make = make_pieces, .send = send, .recv = recv, .pattern = x};

	for (; messages.done < x->bytes; messages.done += PIECE)
	{
		int n, ret = post_messages(comm, &messages, &n);

		/* The own part is copied while the others' travel. */
		if (!ret && messages.done == 0 && fsmoe_pattern_recv(x, comm->rank).n)
			fsmoe_pieces_copy(recv, fsmoe_pattern_recv(x, comm->rank), send,
					  fsmoe_pattern_send(x, comm->rank));
		if (!ret)
			ret = fsmoe_mpi_wait(n, impl->requests, impl->status, comm->own_core);
		if (!ret)
			ret = check_pattern(comm, x, messages.done);
		if (ret)
			return ret;
	}
	return 0;
}

/* --- rows: counted in rows, not bytes, so that no PIECE is needed ----------------------------- */

static int make_rows(const struct messages *x, int peer, int receive, struct message *m)
{
	const struct fsmoe_runs runs = receive ? x->in[peer] : x->out[peer];
	int *rows = runs.n ? malloc(2 * runs.n * sizeof(*rows)) : NULL, ret;

	if (runs.n == 0)
		return 0;
	if (!rows)
		return fsmoe_fail(ENOMEM, "no memory for a message of %zu runs of rows", runs.n);
	for (size_t i = 0; i < runs.n; i++)
	{
		rows[i] = (int)runs.run[i].n;
		rows[runs.n + i] = (int)runs.run[i].at;
	}
	m->at = receive ? x->recv : (char *)x->send;
	m->bytes = fsmoe_runs_rows(runs) * x->row_bytes;
	ret = fsmoe_mpi_check(MPI_Type_indexed((int)runs.n, rows, rows + runs.n, x->row, &m->type),
			      "MPI_Type_indexed");
	free(rows);
	return ret;
}

int fsmoe_mpi_exchange_rows(struct fsmoe_comm *comm, const struct fsmoe_runs *out, const void *send,
			    const struct fsmoe_runs *in, void *recv, size_t bytes)
{
	struct mpi_comm *impl = comm->impl;
	const MPI_Status *status = impl->status;
	struct messages messages = {.make = make_rows,
				    .send = send,
				    .recv = recv,
				    .out = out,
				    .in = in,
				    .row_bytes = bytes};
	int n, ret = fsmoe_mpi_check(MPI_Type_contiguous((int)bytes, MPI_BYTE, &messages.row),
				     "MPI_Type_contiguous");

	if (ret)
		return ret;
	ret = post_messages(comm, &messages, &n);
	MPI_Type_free(&messages.row);
	if (!ret)
		fsmoe_runs_copy(recv, in[comm->rank], send, out[comm->rank], bytes);
	if (!ret)
		ret = fsmoe_mpi_wait(n, impl->requests, impl->status, comm->own_core);
	for (int k = 1; k < comm->size && !ret; k++)
	{
		int from = (comm->rank + comm->size - k) % comm->size;
		if (in[from].n)
			ret = check_message(comm, status++, from, fsmoe_runs_rows(in[from]) * bytes,
					    "rows");
	}
	return ret;
}
