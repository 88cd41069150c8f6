/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/mpi.h"

#include "base/clock.h"

#include <fsmoe/error.h>

#include <errno.h>
#include <stdlib.h>

/* Topologies of this process that use MPI, and whether the first of them started it. Topologies
 * are made and destroyed by one thread. */
static int users, ours;

int fsmoe_mpi_check(int code, const char *call)
{
	char text[MPI_MAX_ERROR_STRING] = "";
	int n, class;

	if (code == MPI_SUCCESS)
		return 0;
	MPI_Error_string(code, text, &n);
	MPI_Error_class(code, &class);
	switch (class)
	{
	case MPI_ERR_NO_MEM:
		return fsmoe_fail(ENOMEM, "%s: %s", call, text);
	case MPI_ERR_TRUNCATE:
		return fsmoe_fail(EINVAL,
				  "%s: %s: the ranks do not agree on the size of this exchange",
				  call, text);
	case MPI_ERR_COUNT:
	case MPI_ERR_BUFFER:
	case MPI_ERR_RANK:
	case MPI_ERR_ROOT:
	case MPI_ERR_ARG:
		return fsmoe_fail(EINVAL, "%s: %s", call, text);
	default:
		return fsmoe_fail(EIO, "%s: %s; another rank may have failed", call, text);
	}
}

/*
 * How to wait for one who shares a core: a few immediate tests catch what is about to arrive; then
 * the core is left to whoever computes, in pauses that grow, because what has not come soon is
 * waiting for a computation elsewhere. No sched_yield: it gives a computing neighbour a whole time
 * slice, where a short sleep often gets the core back at once (1 KiB among four ranks on two cores
 * that two others keep busy: 7 to 13 ms with yields, 3 to 5 ms without; idle cores: 13 us). MPI
 * moves long messages in pieces, and only inside calls: so the pauses end at 0.2 ms where bytes may
 * be on their way (exchanges of 1 MiB among four ranks took six times as long with 1 ms) and at 1
 * ms in a barrier, where none are.
 *
 * One who has a core of its own tests for some 20 ms first: of a step of 'quickstart' on four ranks
 * with four cores each, exchanges took 31 ms in place of 110, and the step 388 in place of 462.
 */
#define SHARED_TESTS  30
#define OWN_TESTS     100000
#define FIRST_PAUSE   5000    /* ns */
#define LONGEST_PAUSE 200000  /* ns */
#define BARRIER_PAUSE 1000000 /* ns */

struct patience
{
	int tests;           /* that are left before the first pause */
	long pause, longest; /* ns */
};

static void pause_between_tests(struct patience *patience)
{
	if (patience->tests > 0)
	{
		patience->tests--;
		return;
	}
	fsmoe_clock_sleep(1e-9 * (double)patience->pause);
	patience->pause += patience->pause / 4;
	if (patience->pause > patience->longest)
		patience->pause = patience->longest;
}

/* The code that says most: of MPI_ERR_IN_STATUS, that of the first failed request. */
static int first_error(int code, int n, const MPI_Status *status)
{
	if (code == MPI_ERR_IN_STATUS && status != MPI_STATUSES_IGNORE)
		for (int i = 0; i < n; i++)
			if (status[i].MPI_ERROR != MPI_SUCCESS &&
			    status[i].MPI_ERROR != MPI_ERR_PENDING)
				return status[i].MPI_ERROR;
	return code;
}

static int wait_for(int n, MPI_Request *requests, MPI_Status *status, int own_core, long longest)
{
	struct patience patience = {own_core ? OWN_TESTS : SHARED_TESTS, FIRST_PAUSE, longest};

	for (;;)
	{
		int done, code = MPI_Testall(n, requests, &done, status);

		if (code != MPI_SUCCESS)
			return fsmoe_mpi_check(first_error(code, n, status), "MPI_Testall");
		if (done)
			return 0;
		pause_between_tests(&patience);
	}
}

int fsmoe_mpi_wait(int n, MPI_Request *requests, MPI_Status *status, int own_core)
{
	return wait_for(n, requests, status, own_core, LONGEST_PAUSE);
}

int fsmoe_mpi_barrier(MPI_Comm comm, int own_core)
{
	MPI_Request request;
	int ret = fsmoe_mpi_check(MPI_Ibarrier(comm, &request), "MPI_Ibarrier");

	return ret ? ret : wait_for(1, &request, MPI_STATUSES_IGNORE, own_core, BARRIER_PAUSE);
}

int fsmoe_mpi_present(void)
{
	/* Set by Open MPI's and MPICH's launchers and by resource managers. Without them a
	 * program runs alone, and MPI_Init would only cost time or fail. */
	static const char *const set[] = {
		"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "PMI_FD", "PMI_PORT"};
	int started;

	MPI_Initialized(&started);
	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]) && !started; i++)
		started = getenv(set[i]) != NULL;
	return started;
}

static int init(void)
{
	int started, ended, granted;

	MPI_Initialized(&started);
	MPI_Finalized(&ended);
	if (ended)
		return fsmoe_fail(EBUSY, "MPI was finalized already and cannot be started again in "
					 "this process; keep one topology until the end");
	if (!started)
	{
		int ret =
			fsmoe_mpi_check(MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &granted),
					"MPI_Init_thread");
		if (ret)
			return ret;
		ours = 1;
	}
	users++;
	MPI_Query_thread(&granted);
	if (granted < MPI_THREAD_MULTIPLE)
		return fsmoe_fail(EINVAL,
				  "MPI grants less than MPI_THREAD_MULTIPLE, which fsmoe needs; %s",
				  ours ? "use an MPI library that was built with it"
				       : "ask for it in MPI_Init_thread");
	return 0;
}

/* Which ranks share a host, as every rank sees it. */
static int find_hosts(struct fsmoe_mpi *mpi)
{
	MPI_Comm host;
	int ret = fsmoe_mpi_check(MPI_Comm_split_type(mpi->job, MPI_COMM_TYPE_SHARED, mpi->rank,
						      MPI_INFO_NULL, &host),
				  "MPI_Comm_split_type");
	if (ret)
		return ret;
	MPI_Comm_rank(host, &mpi->host_rank);
	MPI_Comm_size(host, &mpi->host_size);
	MPI_Comm_free(&host);

	/* Hosts are nodes when all have the same size and rank r is number r % size of its own:
	 * the key of the split was the rank, so that says they are consecutive. */
	int mine[3] = {mpi->host_size, -mpi->host_size,
		       mpi->rank % mpi->host_size != mpi->host_rank};
	int all[3];
	MPI_Request request;
	ret = fsmoe_mpi_check(MPI_Iallreduce(mine, all, 3, MPI_INT, MPI_MAX, mpi->job, &request),
			      "MPI_Iallreduce");
	if (!ret)
		ret = fsmoe_mpi_wait(1, &request, MPI_STATUSES_IGNORE, 0);
	if (!ret)
		mpi->nodes = all[0] == -all[1] && !all[2] ? mpi->size / mpi->host_size : 0;
	return ret;
}

static int duplicate(MPI_Comm *comm)
{
	int ret = fsmoe_mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, comm), "MPI_Comm_dup");

	if (!ret)
		MPI_Comm_set_errhandler(*comm, MPI_ERRORS_RETURN);
	return ret;
}

int fsmoe_mpi_start(struct fsmoe_mpi **mpi)
{
	struct fsmoe_mpi *new = calloc(1, sizeof(*new));
	if (!new)
		return fsmoe_fail(ENOMEM, "no memory for a topology");
	new->job = new->watch = MPI_COMM_NULL;

	int before = users, ret = init();
	if (!ret)
		ret = duplicate(&new->job);
	if (!ret)
		ret = duplicate(&new->watch);
	if (!ret)
	{
		MPI_Comm_rank(new->job, &new->rank);
		MPI_Comm_size(new->job, &new->size);
		ret = find_hosts(new);
	}
	if (!ret)
		*mpi = new;
	else if (users > before)
		fsmoe_mpi_stop(new);
	else
		free(new);
	return ret;
}

void fsmoe_mpi_stop(struct fsmoe_mpi *mpi)
{
	if (!mpi)
		return;
	if (mpi->watch != MPI_COMM_NULL)
		MPI_Comm_free(&mpi->watch);
	if (mpi->job != MPI_COMM_NULL)
		MPI_Comm_free(&mpi->job);
	free(mpi);
	if (--users == 0 && ours)
	{
		ours = 0;
		MPI_Finalize();
	}
}
