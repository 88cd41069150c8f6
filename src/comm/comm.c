/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/comm.h"
#include "comm/watch.h"

#include <fsmoe/error.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The first that takes a group gets it. */
static const struct fsmoe_comm_backend *const backends[] = {
	&fsmoe_comm_self,
	&fsmoe_comm_mpi,
};
#define NBACKENDS (sizeof(backends) / sizeof(backends[0]))

struct fsmoe_comms
{
	fsmoe_groups_t groups;
	struct fsmoe_comm comm[FSMOE_NGROUPS];
};

static int create_one(struct fsmoe_comm *comm, fsmoe_groups_t groups, enum fsmoe_group kind)
{
	int ret = -ENOTSUP;

	comm->kind = kind;
	comm->size = fsmoe_group_size(groups, kind);
	comm->rank = fsmoe_group_rank(groups, kind);
	comm->parts = calloc(4 * (size_t)comm->size, sizeof(*comm->parts));
	if (!comm->parts)
		return fsmoe_fail(ENOMEM, "no memory for the communicator of group %s",
				  fsmoe_group_name(kind));
	for (size_t i = 0; i < NBACKENDS && ret == -ENOTSUP; i++)
	{
		ret = backends[i]->create(comm, groups, kind);
		if (!ret)
			comm->backend = backends[i];
	}
	if (ret == -ENOTSUP)
		return fsmoe_fail(
			EINVAL,
			"group %s has %d ranks, but this process is not one of an MPI job of "
			"them; start the program with mpirun",
			fsmoe_group_name(kind), comm->size);
	return ret;
}

/* Connections are made and buffers found at first use: not in the first step. */
static int warm(struct fsmoe_comm *comm)
{
	size_t bytes = 64;
	char *send = calloc((size_t)comm->size, 2 * bytes);
	if (!send)
		return fsmoe_fail(ENOMEM, "no memory to warm the communicator of group %s",
				  fsmoe_group_name(comm->kind));
	char *recv = send + (size_t)comm->size * bytes;

	int ret = fsmoe_comm_barrier(comm);
	if (!ret)
		ret = fsmoe_comm_alltoall(comm, send, recv, bytes);
	if (!ret)
		ret = fsmoe_comm_allgather(comm, send, recv, bytes);
	if (!ret)
		ret = fsmoe_comm_broadcast(comm, recv, bytes, 0);
	if (!ret)
		ret = fsmoe_comm_allreduce(comm, FSMOE_F32, recv, bytes / sizeof(float));
	free(send);
	return ret;
}

int fsmoe_comms_create(fsmoe_comms_t *comms, fsmoe_groups_t groups)
{
	struct fsmoe_comms *new = calloc(1, sizeof(*new));
	int ret = 0;

	if (!new)
		return fsmoe_fail(ENOMEM, "no memory for communicators");
	new->groups = groups;
	for (int kind = 0; kind < FSMOE_NGROUPS && !ret; kind++)
		ret = create_one(&new->comm[kind], groups, (enum fsmoe_group)kind);
	for (int kind = 0; kind < FSMOE_NGROUPS && !ret; kind++)
		ret = warm(&new->comm[kind]);
	if (ret)
		fsmoe_comms_destroy(new);
	else
		*comms = new;
	return ret;
}

void fsmoe_comms_destroy(fsmoe_comms_t comms)
{
	if (!comms)
		return;
	for (int kind = 0; kind < FSMOE_NGROUPS; kind++)
	{
		struct fsmoe_comm *comm = &comms->comm[kind];
		if (comm->backend)
			comm->backend->destroy(comm);
		free(comm->parts);
		free(comm->scratch);
	}
	free(comms);
}

struct fsmoe_comm *fsmoe_comms_get(fsmoe_comms_t comms, enum fsmoe_group kind)
{
	return comms && (int)kind >= 0 && kind < FSMOE_NGROUPS ? &comms->comm[kind] : NULL;
}

fsmoe_groups_t fsmoe_comms_groups(fsmoe_comms_t comms)
{
	return comms ? comms->groups : NULL;
}

void fsmoe_comms_set_watch(fsmoe_comms_t comms, struct fsmoe_watch *watch)
{
	for (int kind = 0; comms && kind < FSMOE_NGROUPS; kind++)
		comms->comm[kind].watch = watch;
}

void fsmoe_comms_set_own_cores(fsmoe_comms_t comms, int own_cores)
{
	for (int kind = 0; comms && kind < FSMOE_NGROUPS; kind++)
		comms->comm[kind].own_core = own_cores;
}

int fsmoe_comms_emulate(fsmoe_comms_t comms, int between, struct fsmoe_link link)
{
	int ret = 0;

	for (int kind = 0; kind < FSMOE_NGROUPS && !ret; kind++)
		if (comms->comm[kind].size > 1 &&
		    fsmoe_group_spans_nodes(comms->groups, (enum fsmoe_group)kind) == between)
			ret = fsmoe_comm_emulate_link(&comms->comm[kind], link);
	return ret;
}

int fsmoe_comm_alltoallv(struct fsmoe_comm *comm, const void *send, const size_t *send_bytes,
			 const size_t *send_at, void *recv, const size_t *recv_bytes,
			 const size_t *recv_at)
{
	if (send_bytes[comm->rank] != recv_bytes[comm->rank])
		return fsmoe_fail(
			EINVAL,
			"alltoallv over group %s: rank %d of it sends itself %zu bytes but "
			"expects %zu",
			fsmoe_group_name(comm->kind), comm->rank, send_bytes[comm->rank],
			recv_bytes[comm->rank]);

	fsmoe_watch_enter(comm->watch, comm->kind, "alltoallv");
	int ret = comm->backend->alltoallv(comm, send, send_bytes, send_at, recv, recv_bytes,
					   recv_at);
	fsmoe_watch_leave(comm->watch, comm->kind);
	return ret;
}

int fsmoe_comm_alltoall(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes)
{
	size_t *sizes = comm->parts, *at = comm->parts + comm->size;

	for (int i = 0; i < comm->size; i++)
	{
		sizes[i] = bytes;
		at[i] = (size_t)i * bytes;
	}
	fsmoe_watch_enter(comm->watch, comm->kind, "alltoall");
	int ret = comm->backend->alltoallv(comm, send, sizes, at, recv, sizes, at);
	fsmoe_watch_leave(comm->watch, comm->kind);
	return ret;
}

int fsmoe_comm_exchange(struct fsmoe_comm *comm, struct fsmoe_pattern pattern, const void *send,
			void *recv)
{
	pattern.size = comm->size;
	pattern.rank = comm->rank;
	fsmoe_watch_enter(comm->watch, comm->kind, fsmoe_pattern_name(pattern.kind));
	int ret = comm->backend->exchange(comm, &pattern, send, recv);
	fsmoe_watch_leave(comm->watch, comm->kind);
	return ret;
}

int fsmoe_comm_exchange_rows(struct fsmoe_comm *comm, const struct fsmoe_runs *out,
			     const void *send, const struct fsmoe_runs *in, void *recv,
			     size_t bytes)
{
	const size_t given = fsmoe_runs_rows(out[comm->rank]);
	const size_t got = fsmoe_runs_rows(in[comm->rank]);

	if (given != got)
		return fsmoe_fail(EINVAL,
				  "exchange of rows over group %s: rank %d of it sends itself %zu "
				  "rows but expects %zu",
				  fsmoe_group_name(comm->kind), comm->rank, given, got);
	fsmoe_watch_enter(comm->watch, comm->kind, "exchange_rows");
	int ret = comm->backend->exchange_rows(comm, out, send, in, recv, bytes);
	fsmoe_watch_leave(comm->watch, comm->kind);
	return ret;
}

int fsmoe_comm_allgather(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes)
{
	fsmoe_watch_enter(comm->watch, comm->kind, "allgather");
	int ret = comm->backend->allgather(comm, send, recv, bytes);
	fsmoe_watch_leave(comm->watch, comm->kind);
	return ret;
}

int fsmoe_comm_broadcast(struct fsmoe_comm *comm, void *data, size_t bytes, int root)
{
	if (root < 0 || root >= comm->size)
		return fsmoe_fail(EINVAL, "broadcast over group %s: there is no rank %d among %d",
				  fsmoe_group_name(comm->kind), root, comm->size);

	fsmoe_watch_enter(comm->watch, comm->kind, "broadcast");
	int ret = comm->backend->broadcast(comm, data, bytes, root);
	fsmoe_watch_leave(comm->watch, comm->kind);
	return ret;
}

int fsmoe_comm_barrier(struct fsmoe_comm *comm)
{
	fsmoe_watch_enter(comm->watch, comm->kind, "barrier");
	int ret = comm->backend->barrier(comm);
	fsmoe_watch_leave(comm->watch, comm->kind);
	return ret;
}
