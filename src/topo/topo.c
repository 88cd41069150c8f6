/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/topo.h"
#include "topo/mpi.h"

#include <fsmoe/error.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* This job, as MPI tells; without MPI, one rank. */
static int job_machine(struct fsmoe_topo *topo)
{
	topo->is_job = 1;
	topo->ranks = topo->nodes = topo->host_size = 1;
	if (!fsmoe_mpi_present())
		return 0;

	int ret = fsmoe_mpi_start(&topo->mpi);
	if (ret)
		return ret;
	topo->ranks = topo->mpi->size;
	topo->rank = topo->mpi->rank;
	topo->nodes = topo->mpi->nodes;
	topo->host_rank = topo->mpi->host_rank;
	topo->host_size = topo->mpi->host_size;
	return 0;
}

static int described_machine(struct fsmoe_topo *topo, const char *description)
{
	static const char file[] = "file:";
	int nodes, devices, ret;

	if (strncmp(description, file, strlen(file)) == 0)
		ret = fsmoe_topo_parse_file(description + strlen(file), &nodes, &devices);
	else
		ret = fsmoe_topo_parse(description, NULL, &nodes, &devices);
	if (ret)
		return ret;
	topo->nodes = nodes;
	topo->ranks = nodes * devices;
	topo->host_size = 1;
	return 0;
}

/* One host pretends to be many, or hosts that cannot be nodes are refused. */
static int cut(struct fsmoe_topo *topo, int nodes)
{
	if (nodes > 0)
	{
		if (topo->ranks % nodes)
			return fsmoe_fail(
				EINVAL,
				"%d rank%s cannot be cut into %d equal nodes; start a "
				"multiple of %d ranks, or ask for another number of nodes",
				topo->ranks, topo->ranks == 1 ? "" : "s", nodes, nodes);
		topo->nodes = nodes;
	}
	if (topo->nodes == 0)
		return fsmoe_fail(
			EINVAL,
			"the hosts of this job do not hold equally many ranks each, with "
			"consecutive numbers; start as many ranks on every host (mpirun "
			"--map-by ppr:N:node --rank-by slot), or cut the ranks yourself with "
			"--nodes");
	return 0;
}

int fsmoe_topo_create(fsmoe_topo_t *topo, const char *description, int nodes)
{
	if (nodes < 0)
		return fsmoe_fail(EINVAL, "%d nodes: the number of nodes cannot be negative",
				  nodes);

	struct fsmoe_topo *new = calloc(1, sizeof(*new));
	if (!new)
		return fsmoe_fail(ENOMEM, "no memory for a topology");

	int ret = description ? described_machine(new, description) : job_machine(new);
	if (!ret)
		ret = cut(new, nodes);
	if (ret)
	{
		fsmoe_topo_destroy(new);
		return ret;
	}
	*topo = new;
	return 0;
}

static void tell(struct fsmoe_topo *topo, enum fsmoe_topo_end stage)
{
	if (topo->at_end)
		topo->at_end(stage, topo->at_end_arg);
}

void fsmoe_topo_destroy(fsmoe_topo_t topo)
{
	if (!topo)
		return;
	tell(topo, FSMOE_END_LEAVING);
	if (topo->mpi)
		fsmoe_mpi_barrier(topo->mpi->job, 0);
	tell(topo, FSMOE_END_FINALIZING);
	fsmoe_mpi_stop(topo->mpi);
	tell(topo, FSMOE_END_GONE);
	free(topo);
}

int fsmoe_topo_at_end(fsmoe_topo_t topo, void (*fn)(enum fsmoe_topo_end stage, void *arg),
		      void *arg)
{
	if (fn && topo->at_end)
		return fsmoe_fail(EBUSY, "this topology is watched already; stop the first "
					 "watchdog before starting another");
	topo->at_end = fn;
	topo->at_end_arg = arg;
	return 0;
}

int fsmoe_topo_ranks(fsmoe_topo_t topo)
{
	return topo->ranks;
}

int fsmoe_topo_nodes(fsmoe_topo_t topo)
{
	return topo->nodes;
}

int fsmoe_topo_rank(fsmoe_topo_t topo)
{
	return topo->rank;
}

int fsmoe_topo_is_job(fsmoe_topo_t topo)
{
	return topo->is_job;
}

int fsmoe_topo_host_rank(fsmoe_topo_t topo)
{
	return topo->host_rank;
}

int fsmoe_topo_host_size(fsmoe_topo_t topo)
{
	return topo->host_size;
}
