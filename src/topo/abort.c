/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/abort.h"

#include "topo/mpi.h"

#include <stdio.h>

void fsmoe_topo_abort(fsmoe_topo_t topo, int code)
{
	if (!topo || !topo->mpi)
		return;
	/* MPI_Abort leaves without the C library's exit. */
	fflush(NULL);
	MPI_Abort(MPI_COMM_WORLD, code);
}
