/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/mpi_comm.h"

#include <fsmoe/error.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * MPI with sleeping waits. Exchanges are point to point: counts and offsets are then not bound to
 * an int, everything is under way after one call (a collective with several rounds would only go
 * on when somebody tests), and no arrays need conversion.
 */

static void mpi_destroy(struct fsmoe_comm *comm)
{
	struct mpi_comm *impl = comm->impl;

	if (!impl)
		return;
	if (impl->comm != MPI_COMM_NULL)
	{
		/* Nobody spins in MPI_Comm_free for one who is late. */
		fsmoe_mpi_barrier(impl->comm, 0);
		MPI_Comm_free(&impl->comm);
	}
	free(impl->requests);
	free(impl->status);
	free(impl);
	comm->impl = NULL;
}

static int mpi_create(struct fsmoe_comm *comm, fsmoe_groups_t groups, enum fsmoe_group kind)
{
	struct fsmoe_topo *topo = fsmoe_groups_topo(groups);
	int first, n = 1;

	if (!topo || !topo->mpi)
		return -ENOTSUP;

	struct mpi_comm *impl = calloc(1, sizeof(*impl));
	if (impl)
	{
		impl->comm = MPI_COMM_NULL;
		impl->requests = calloc(2 * (size_t)comm->size, sizeof(*impl->requests));
		impl->status = calloc(2 * (size_t)comm->size, sizeof(*impl->status));
	}
	comm->impl = impl;

	int ret = 0;
	if (!impl || !impl->requests || !impl->status)
		ret = fsmoe_fail(ENOMEM, "no memory for the communicator of group %s",
				 fsmoe_group_name(kind));
	if (!ret)
		ret = fsmoe_groups_members(groups, kind, topo->rank, &first, &n);
	/* A barrier first: the split itself spins while it waits for the others. */
	if (!ret)
		ret = fsmoe_mpi_barrier(topo->mpi->job, 0);
	if (!ret)
		ret = fsmoe_mpi_check(
			MPI_Comm_split(topo->mpi->job, first, comm->rank, &impl->comm),
			"MPI_Comm_split");
	if (!ret)
		MPI_Comm_set_errhandler(impl->comm, MPI_ERRORS_RETURN);
	else
		mpi_destroy(comm);
	return ret;
}

/* One exchange: what is sent and received, by rank of the group. */
struct exchange
{
	const char *send;
	const size_t *send_bytes, *send_at;
	char *recv;
	const size_t *recv_bytes, *recv_at;
};

/* Receives and sends bytes `done` to `done` + PIECE of every pair's message; messages of one pair
 * stay in order, so the two ends need not agree on anything but its size. *n requests are made,
 * receives first. */
static int post(struct fsmoe_comm *comm, const struct exchange *x, size_t done, int *n)
{
	struct mpi_comm *impl = comm->impl;
	int ret = 0;

	*n = 0;
	for (int k = 1; k < comm->size && !ret; k++)
	{
		int from = (comm->rank + comm->size - k) % comm->size;
		int bytes = (int)fsmoe_mpi_piece(x->recv_bytes[from], done);
		if (bytes)
			ret = fsmoe_mpi_check(MPI_Irecv(x->recv + x->recv_at[from] + done, bytes,
							MPI_BYTE, from, TAG, impl->comm,
							&impl->requests[(*n)++]),
					      "MPI_Irecv");
	}
	for (int k = 1; k < comm->size && !ret; k++)
	{
		int to = (comm->rank + k) % comm->size;
		int bytes = (int)fsmoe_mpi_piece(x->send_bytes[to], done);
		if (bytes)
			ret = fsmoe_mpi_check(MPI_Isend(x->send + x->send_at[to] + done, bytes,
							MPI_BYTE, to, TAG, impl->comm,
							&impl->requests[(*n)++]),
					      "MPI_Isend");
	}
	return ret;
}

/* MPI complains of messages that are too long, not of those that are too short. */
static int check_received(struct fsmoe_comm *comm, const struct exchange *x, size_t done)
{
	const MPI_Status *status = ((struct mpi_comm *)comm->impl)->status;

	for (int k = 1; k < comm->size; k++)
	{
		int from = (comm->rank + comm->size - k) % comm->size, got;
		size_t bytes = fsmoe_mpi_piece(x->recv_bytes[from], done);
		if (!bytes)
			continue;
		MPI_Get_count(status++, MPI_BYTE, &got);
		if ((size_t)got != bytes)
			return fsmoe_fail(
				EINVAL,
				"exchange over group %s: rank %d of it sent %d bytes where "
				"%zu were expected; the ranks do not agree on sizes",
				fsmoe_group_name(comm->kind), from, got, bytes);
	}
	return 0;
}

static int mpi_alltoallv(struct fsmoe_comm *comm, const void *send, const size_t *send_bytes,
			 const size_t *send_at, void *recv, const size_t *recv_bytes,
			 const size_t *recv_at)
{
	struct mpi_comm *impl = comm->impl;
	const struct exchange x = {send, send_bytes, send_at, recv, recv_bytes, recv_at};
	const char *own = x.send + send_at[comm->rank];
	char *place = x.recv + recv_at[comm->rank];
	size_t most = 0;

	for (int i = 0; i < comm->size; i++)
	{
		most = send_bytes[i] > most ? send_bytes[i] : most;
		most = recv_bytes[i] > most ? recv_bytes[i] : most;
	}
	for (size_t done = 0; done < most; done += PIECE)
	{
		int n, ret = post(comm, &x, done, &n);

		/* The own part is copied while the others' travel. */
		if (!ret && done == 0 && send_bytes[comm->rank] && own != place)
			memcpy(place, own, send_bytes[comm->rank]);
		if (!ret)
			ret = fsmoe_mpi_wait(n, impl->requests, impl->status, comm->own_core);
		if (!ret)
			ret = check_received(comm, &x, done);
		if (ret)
			return ret;
	}
	return 0;
}

static int mpi_allgather(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes)
{
	size_t n = (size_t)comm->size, *sizes = comm->parts;
	size_t *send_at = comm->parts + n, *recv_at = comm->parts + 2 * n;

	for (size_t i = 0; i < n; i++)
	{
		sizes[i] = bytes;
		send_at[i] = 0;
		recv_at[i] = i * bytes;
	}
	return mpi_alltoallv(comm, send, sizes, send_at, recv, sizes, recv_at);
}

static int mpi_broadcast(struct fsmoe_comm *comm, void *data, size_t bytes, int root)
{
	struct mpi_comm *impl = comm->impl;
	int ret = 0;

	for (size_t done = 0; done < bytes && !ret; done += PIECE)
	{
		MPI_Request request;
		ret = fsmoe_mpi_check(MPI_Ibcast((char *)data + done,
						 (int)fsmoe_mpi_piece(bytes, done), MPI_BYTE, root,
						 impl->comm, &request),
				      "MPI_Ibcast");
		if (!ret)
			ret = fsmoe_mpi_wait(1, &request, MPI_STATUSES_IGNORE, comm->own_core);
	}
	return ret;
}

static int mpi_barrier(struct fsmoe_comm *comm)
{
	return fsmoe_mpi_barrier(((struct mpi_comm *)comm->impl)->comm, comm->own_core);
}

const struct fsmoe_comm_backend fsmoe_comm_mpi = {
	.name = "mpi",
	.create = mpi_create,
	.destroy = mpi_destroy,
	.alltoallv = mpi_alltoallv,
	.exchange = fsmoe_mpi_exchange,
	.exchange_rows = fsmoe_mpi_exchange_rows,
	.allgather = mpi_allgather,
	.broadcast = mpi_broadcast,
	.barrier = mpi_barrier,
};
