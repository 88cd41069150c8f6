/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/comm.h"

#include <errno.h>
#include <string.h>

/* A group of one rank: what it sends, it receives. */

static int self_create(struct fsmoe_comm *comm, fsmoe_groups_t groups, enum fsmoe_group kind)
{
	(void)groups, (void)kind;
	return comm->size == 1 ? 0 : -ENOTSUP;
}

static void self_destroy(struct fsmoe_comm *comm)
{
	(void)comm;
}

static void copy(void *to, const void *from, size_t bytes)
{
	if (bytes && to != from)
		memcpy(to, from, bytes);
}

static int self_alltoallv(struct fsmoe_comm *comm, const void *send, const size_t *send_bytes,
			  const size_t *send_at, void *recv, const size_t *recv_bytes,
			  const size_t *recv_at)
{
	(void)comm, (void)recv_bytes;
	if (send_bytes[0])
		copy((char *)recv + recv_at[0], (const char *)send + send_at[0], send_bytes[0]);
	return 0;
}

static int self_exchange(struct fsmoe_comm *comm, const struct fsmoe_pattern *pattern,
			 const void *send, void *recv)
{
	(void)comm;
	if (send != recv)
		fsmoe_pieces_copy(recv, fsmoe_pattern_recv(pattern, 0), send,
				  fsmoe_pattern_send(pattern, 0));
	return 0;
}

static int self_exchange_rows(struct fsmoe_comm *comm, const struct fsmoe_runs *out,
			      const void *send, const struct fsmoe_runs *in, void *recv,
			      size_t bytes)
{
	(void)comm;
	if (send != recv)
		fsmoe_runs_copy(recv, in[0], send, out[0], bytes);
	return 0;
}

static int self_allgather(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes)
{
	(void)comm;
	copy(recv, send, bytes);
	return 0;
}

static int self_broadcast(struct fsmoe_comm *comm, void *data, size_t bytes, int root)
{
	(void)comm, (void)data, (void)bytes, (void)root;
	return 0;
}

static int self_barrier(struct fsmoe_comm *comm)
{
	(void)comm;
	return 0;
}

const struct fsmoe_comm_backend fsmoe_comm_self = {
	.name = "self",
	.create = self_create,
	.destroy = self_destroy,
	.alltoallv = self_alltoallv,
	.exchange = self_exchange,
	.exchange_rows = self_exchange_rows,
	.allgather = self_allgather,
	.broadcast = self_broadcast,
	.barrier = self_barrier,
};
