/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <fsmoe/topo.h>

#include <errno.h>
#include <mpi.h>
#include <string.h>

/*
 * foreign-mpi LEVEL: a program that starts MPI itself, with MPI_THREAD_MULTIPLE (multiple) or less
 * (single). Less is refused with a sentence; in both cases MPI is still the program's afterwards.
 */
int main(int argc, char **argv)
{
	CHECK(argc == 2);
	int multiple = strcmp(argv[1], "multiple") == 0, granted, size, finalized;
	fsmoe_topo_t topo = NULL, second = NULL;

	MPI_Init_thread(&argc, &argv, multiple ? MPI_THREAD_MULTIPLE : MPI_THREAD_SINGLE, &granted);
	if (!multiple)
	{
		CHECK(fsmoe_topo_create(&topo, NULL, 0) == -EINVAL && !topo);
		CHECK(strstr(fsmoe_last_error(), "ask for it in MPI_Init_thread"));
	}
	else if (granted == MPI_THREAD_MULTIPLE)
	{
		CHECK(fsmoe_topo_create(&topo, NULL, 0) == 0);
		CHECK(fsmoe_topo_create(&second, NULL, 1) == 0);
		MPI_Comm_size(MPI_COMM_WORLD, &size);
		CHECK(fsmoe_topo_ranks(topo) == size && fsmoe_topo_ranks(second) == size);
		fsmoe_topo_destroy(second);
		fsmoe_topo_destroy(topo);
	}
	MPI_Finalized(&finalized);
	CHECK(!finalized);
	MPI_Barrier(MPI_COMM_WORLD);
	MPI_Finalize();
	if (multiple)
	{
		CHECK(fsmoe_topo_create(&topo, NULL, 0) == -EBUSY);
		CHECK(strstr(fsmoe_last_error(), "finalized already"));
	}
	return 0;
}
