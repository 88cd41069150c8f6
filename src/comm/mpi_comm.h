/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_COMM_MPI_COMM_H
#define FSMOE_COMM_MPI_COMM_H

#include "comm/comm.h"
#include "topo/mpi.h"

/* Inside of the backend "mpi": mpi.c has contiguous messages, mpi_messages.c all others. */

#define TAG 1

/* The most bytes of one message; an MPI count is an int. A test makes it small. */
#ifndef FSMOE_MPI_PIECE
#define FSMOE_MPI_PIECE (1 << 30)
#endif
#define PIECE ((size_t)(FSMOE_MPI_PIECE))

struct mpi_comm
{
	MPI_Comm comm;
	MPI_Request *requests; /* 2 * size */
	MPI_Status *status;
};

/* Length of the piece of a message of `bytes` that begins at byte `done`. */
static inline size_t fsmoe_mpi_piece(size_t bytes, size_t done)
{
	size_t left = bytes > done ? bytes - done : 0;

	return left < PIECE ? left : PIECE;
}

int fsmoe_mpi_exchange(struct fsmoe_comm *comm, const struct fsmoe_pattern *pattern,
		       const void *send, void *recv);
int fsmoe_mpi_exchange_rows(struct fsmoe_comm *comm, const struct fsmoe_runs *out, const void *send,
			    const struct fsmoe_runs *in, void *recv, size_t bytes);

#endif
