/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.h"
#include "check.h"

#include "comm/comm.h"

#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Part of a core that a rank uses while rank 0 lets it wait for half a second. */
static double cpu_while_waiting(struct fsmoe_comm *comm, int in_barrier)
{
	float x[256] = {0};

	CHECK(fsmoe_comm_barrier(comm) == 0);
	double start = now(), cpu = cpu_seconds();
	if (comm->rank == 0)
		nanosleep(&(struct timespec){0, 500000000}, NULL);
	if (in_barrier)
		CHECK(fsmoe_comm_barrier(comm) == 0);
	else
		CHECK(fsmoe_comm_allreduce(comm, FSMOE_F32, x, 256) == 0);
	return (cpu_seconds() - cpu) / (now() - start);
}

void measure_collectives(fsmoe_comms_t comms)
{
	struct fsmoe_comm *comm = fsmoe_comms_get(comms, FSMOE_GROUP_WORLD);
	float x[256] = {0}, *big = calloc(1 << 20, sizeof(*big));
	int rounds = 300;

	CHECK(fsmoe_comm_barrier(comm) == 0);
	double start = now(), cpu = cpu_seconds();
	for (int i = 0; i < rounds; i++)
		CHECK(fsmoe_comm_allreduce(comm, FSMOE_F32, x, 256) == 0);
	double small = (now() - start) / rounds, small_cpu = (cpu_seconds() - cpu) / rounds;

	CHECK(fsmoe_comm_barrier(comm) == 0);
	CHECK(fsmoe_comm_allreduce(comm, FSMOE_F32, big, 1 << 20) == 0);
	start = now();
	for (int i = 0; i < 10; i++)
		CHECK(fsmoe_comm_allreduce(comm, FSMOE_F32, big, 1 << 20) == 0);
	double large = (now() - start) / 10;

	double exchange = cpu_while_waiting(comm, 0), barrier = cpu_while_waiting(comm, 1);
	if (comm->rank == comm->size - 1)
		printf("%d ranks: allreduce of 1 KiB %.0f us (%.0f us of CPU a rank), of 4 MiB "
		       "%.2f ms; %.1f %% of a core while waiting in it, %.1f %% in a barrier\n",
		       comm->size, small * 1e6, small_cpu * 1e6, large * 1e3, 100 * exchange,
		       100 * barrier);
	free(big);
}
