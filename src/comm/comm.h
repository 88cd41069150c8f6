/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_COMM_H
#define FSMOE_COMM_H

#include "comm/pattern.h"

#include <fsmoe/real.h>
#include <fsmoe/schedule.h>
#include <fsmoe/topo.h>
#include <stddef.h>

/*
 * Communicators: one per process group, and the collectives a training step needs. All of them
 * block the calling thread until the result is there, sleeping between polls unless
 * fsmoe_comms_set_own_cores says that cores are there for it; all are collective over the
 * communicator's group. Sizes are bytes per peer unless a `count` is named, which is elements. One
 * thread at a time may use one communicator; different communicators may be used by different
 * threads at once.
 *
 * Sums are taken in group order, rank 0 first, whatever the message size: an AllReduce is an
 * exchange of slices, an ordered sum, and an AllGather. So a result does not depend on how a
 * buffer was cut.
 */

struct fsmoe_comm;
struct fsmoe_watch;

/* A backend of collectives between hosts' memories: self (one rank) or mpi, one file and one line
 * in backends[] each. Collectives between GPUs are no backend: comm/nccl.h. */
struct fsmoe_comm_backend
{
	const char *name;
	/* Collective over the job. Makes the communicator of this rank's group of `kind`; size and
	 * rank are set. -ENOTSUP, on every rank alike: not mine, ask the next backend. */
	int (*create)(struct fsmoe_comm *comm, fsmoe_groups_t groups, enum fsmoe_group kind);
	void (*destroy)(struct fsmoe_comm *comm);
	int (*alltoallv)(struct fsmoe_comm *comm, const void *send, const size_t *send_bytes,
			 const size_t *send_at, void *recv, const size_t *recv_bytes,
			 const size_t *recv_at);
	int (*exchange)(struct fsmoe_comm *comm, const struct fsmoe_pattern *pattern,
			const void *send, void *recv);
	int (*exchange_rows)(struct fsmoe_comm *comm, const struct fsmoe_runs *out,
			     const void *send, const struct fsmoe_runs *in, void *recv,
			     size_t bytes);
	int (*allgather)(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes);
	int (*broadcast)(struct fsmoe_comm *comm, void *data, size_t bytes, int root);
	int (*barrier)(struct fsmoe_comm *comm);
};

struct fsmoe_comm
{
	const struct fsmoe_comm_backend *backend;
	enum fsmoe_group kind;
	int size, rank;
	void *impl;          /* the backend's */
	void *emulated_link; /* src/comm/emulated_link.c owns it; NULL: the real link */
	void *nccl;          /* the ncclComm_t of src/comm/nccl.c; NULL: no GPU */
	struct fsmoe_nccl_window *windows; /* src/comm/nccl_window.c's: a list */
	const char *no_windows;            /* why there can be none; NULL: there can */
	void *scratch;                     /* for ordered sums; grown by fsmoe_comm_reserve only */
	size_t scratch_bytes;
	size_t *parts; /* 4 * size numbers: sizes and offsets of what is sent and received */
	int own_core;  /* whoever waits has a core that nobody else wants */
	struct fsmoe_watch *watch; /* may be NULL; told of every collective entered and left */
};

/* All groups' communicators of this rank; NULL groups: self communicators. Collective over the
 * job; every communicator is warmed with each operation before this returns. */
int fsmoe_comms_create(fsmoe_comms_t *comms, fsmoe_groups_t groups);
void fsmoe_comms_destroy(fsmoe_comms_t comms); /* collective over the job; NULL is legal */
/* NULL comms or a kind that does not exist: NULL. */
struct fsmoe_comm *fsmoe_comms_get(fsmoe_comms_t comms, enum fsmoe_group kind);
fsmoe_groups_t fsmoe_comms_groups(fsmoe_comms_t comms);
/* Local: from now on `watch` (NULL: nobody) is told of every collective; it must outlive them. */
void fsmoe_comms_set_watch(fsmoe_comms_t comms, struct fsmoe_watch *watch);

/* Local: whether threads that wait have cores of their own, and may poll; they do not before. */
void fsmoe_comms_set_own_cores(fsmoe_comms_t comms, int own_cores);

/* Of each rank in each direction. */
struct fsmoe_link
{
	double bandwidth; /* bytes a second */
	double latency;   /* seconds */
};

/* Local, once, on all ranks alike: from now on groups that span nodes (between; 0: those that do
 * not) communicate as if over such a link, where theirs is faster. */
int fsmoe_comms_emulate(fsmoe_comms_t comms, int between, struct fsmoe_link link);
int fsmoe_comm_emulate_link(struct fsmoe_comm *comm, struct fsmoe_link link); /* one group */

/* Local: makes sure that ordered sums over up to `bytes` bytes of one rank's buffer allocate
 * nothing later. */
int fsmoe_comm_reserve(struct fsmoe_comm *comm, size_t bytes);

int fsmoe_comm_alltoall(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes);
int fsmoe_comm_alltoallv(struct fsmoe_comm *comm, const void *send, const size_t *send_bytes,
			 const size_t *send_at, void *recv, const size_t *recv_bytes,
			 const size_t *recv_at);
/* By a pattern, of which size and rank are filled in here; send is NULL where a rank sends nothing,
 * recv where it receives nothing. */
int fsmoe_comm_exchange(struct fsmoe_comm *comm, struct fsmoe_pattern pattern, const void *send,
			void *recv);
/* Rows of `bytes` each; out and in: what goes to and comes from every rank. */
int fsmoe_comm_exchange_rows(struct fsmoe_comm *comm, const struct fsmoe_runs *out,
			     const void *send, const struct fsmoe_runs *in, void *recv,
			     size_t bytes);
int fsmoe_comm_allgather(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes);
/* send: size * count elements; recv: count. */
int fsmoe_comm_reduce_scatter(struct fsmoe_comm *comm, enum fsmoe_real real, const void *send,
			      void *recv, size_t count);
/* The same of rows of `columns` elements: out[p] goes to rank p; the sums of what all have for this
 * rank to the rows `in`. */
int fsmoe_comm_reduce_scatter_rows(struct fsmoe_comm *comm, enum fsmoe_real real,
				   const struct fsmoe_runs *out, const void *send,
				   struct fsmoe_runs in, void *recv, size_t columns);
int fsmoe_comm_allreduce(struct fsmoe_comm *comm, enum fsmoe_real real, void *data, size_t count);
int fsmoe_comm_broadcast(struct fsmoe_comm *comm, void *data, size_t bytes, int root);
int fsmoe_comm_barrier(struct fsmoe_comm *comm);

/* The list that fsmoe_comms_create asks from the top. */
extern const struct fsmoe_comm_backend fsmoe_comm_self, fsmoe_comm_mpi;

#endif
