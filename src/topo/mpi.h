/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_SRC_TOPO_MPI_H
#define FSMOE_SRC_TOPO_MPI_H

#include "topo/topo.h"

#include <mpi.h>

/*
 * The MPI side of a job: start and end, two communicators of all ranks, and the one way in which
 * fsmoe waits for MPI: test, and sooner or later sleep between tests. MPI_Wait is used nowhere,
 * because MPI libraries spin in it.
 */
struct fsmoe_mpi
{
	MPI_Comm job;   /* collectives over all ranks: start and end */
	MPI_Comm watch; /* the watchdogs talk over it, point to point */
	int rank, size;
	int host_rank, host_size;
	int nodes; /* equal, contiguous; 0 when the hosts do not allow that */
};

/* 1 when there is an MPI job to join: MPI runs already, or a launcher's variables are set. */
int fsmoe_mpi_present(void);
/* Joins the job; collective over it. Fails unless MPI_THREAD_MULTIPLE is granted. */
int fsmoe_mpi_start(struct fsmoe_mpi **mpi);
/* Frees the communicators and finalizes MPI if it was started here; collective. */
void fsmoe_mpi_stop(struct fsmoe_mpi *mpi);

/* Until all requests are complete. status: n of them, or MPI_STATUSES_IGNORE. own_core: the caller
 * has a core that nobody else wants, and tests without sleeping for milliseconds. */
int fsmoe_mpi_wait(int n, MPI_Request *requests, MPI_Status *status, int own_core);
int fsmoe_mpi_barrier(MPI_Comm comm, int own_core);
/* The sentence of a failed call; 0 for MPI_SUCCESS. */
int fsmoe_mpi_check(int code, const char *call);

#endif
