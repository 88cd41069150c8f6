/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "collectives.h"
#include "measure.h"

#include "comm/watch.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

/*
 * mpi [NODES [slow]] and, with an exchange cut into tiny messages, pieces: every
 * collective, on as many ranks as it is started with, cut into NODES nodes; memory, threads, a rank
 * alone, ranks that disagree.
 */

/* After a reserve, sums take no memory any more. */
static void test_reserve(fsmoe_comms_t comms)
{
	struct fsmoe_comm *comm = fsmoe_comms_get(comms, FSMOE_GROUP_WORLD);
	enum
	{
		MOST = 200003
	};
	double *data = calloc(MOST, sizeof(*data));

	CHECK(fsmoe_comm_reserve(comm, MOST * sizeof(*data)) == 0);
	void *scratch = comm->scratch;
	size_t bytes = comm->scratch_bytes;
	for (size_t n = 1; n <= MOST; n = n * 3 + 1)
		CHECK(fsmoe_comm_allreduce(comm, FSMOE_F64, data, n) == 0);
	CHECK(fsmoe_comm_allreduce(comm, FSMOE_F64, data, MOST) == 0);
	CHECK(comm->scratch == scratch && comm->scratch_bytes == bytes);
	free(data);
}

struct worker
{
	struct group group;
	int rounds;
};

static void *work(void *arg)
{
	struct worker *worker = arg;

	for (int i = 0; i < worker->rounds; i++)
	{
		test_alltoallv(&worker->group);
		test_allreduce(&worker->group, FSMOE_F32);
	}
	return NULL;
}

/* Three communicators of one rank, each in a thread of its own. */
static void test_threads(fsmoe_comms_t comms, fsmoe_groups_t groups)
{
	static const enum fsmoe_group kinds[] = {FSMOE_GROUP_WORLD, FSMOE_GROUP_TP, FSMOE_GROUP_EP};
	struct worker worker[3];
	pthread_t thread[3];

	for (int i = 0; i < 3; i++)
	{
		worker[i] = (struct worker){get_group(comms, groups, kinds[i]), 8};
		CHECK(pthread_create(&thread[i], NULL, work, &worker[i]) == 0);
	}
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
}

/* A process alone: groups of one rank have communicators, others cannot. */
static void test_alone(void)
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_comms_t comms = NULL;
	float x[3] = {1, 2, 3}, y[3] = {0};

	CHECK(fsmoe_comms_create(&comms, NULL) == 0);
	struct fsmoe_comm *comm = fsmoe_comms_get(comms, FSMOE_GROUP_EP);
	CHECK(fsmoe_comm_reduce_scatter(comm, FSMOE_F32, x, y, 3) == 0);
	CHECK(memcmp(x, y, sizeof(x)) == 0);
	CHECK(fsmoe_comm_allreduce(comm, FSMOE_F32, y, 3) == 0);
	CHECK(memcmp(x, y, sizeof(x)) == 0);
	CHECK(fsmoe_comm_allreduce(comm, FSMOE_NREALS, y, 3) < 0);
	CHECK(fsmoe_comm_allreduce(comm, FSMOE_F32, y, SIZE_MAX / 4) < 0);
	fsmoe_comms_destroy(comms);
	fsmoe_comms_destroy(NULL);

	comms = NULL;
	CHECK(fsmoe_topo_create(&topo, "node:2 gpu:2", 0) == 0);
	CHECK(fsmoe_groups_create(&groups, topo, NULL) == 0);
	CHECK(fsmoe_comms_create(&comms, groups) < 0 && !comms);
	CHECK(strstr(fsmoe_last_error(), "mpirun"));
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
}

/* Ranks that disagree on a size: an error with a sentence, not a wrong result. The last thing
 * done with a communicator. */
static void test_disagreement(struct fsmoe_comm *comm)
{
	size_t bytes[64] = {0}, at[64] = {0}, none[64] = {0};
	char send[64] = {0}, recv[64];

	for (size_t sent = 16; sent <= 48; sent += 32)
	{
		if (comm->rank == 0)
			bytes[1] = sent;
		else if (comm->rank == 1)
			bytes[0] = 32;
		int ret = comm->rank == 0
				  ? fsmoe_comm_alltoallv(comm, send, bytes, at, recv, none, at)
				  : fsmoe_comm_alltoallv(comm, send, none, at, recv, bytes, at);
		CHECK(comm->rank == 1 ? ret < 0 : ret == 0);
		if (comm->rank == 1)
			CHECK(strstr(fsmoe_last_error(), "agree on"));
	}
}

int main(int argc, char **argv)
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_comms_t comms;
	struct fsmoe_watch *watch;
	int nodes = argc > 1 ? atoi(argv[1]) : 0;

	CHECK(fsmoe_topo_create(&topo, NULL, nodes) == 0);
	CHECK(fsmoe_topo_is_job(topo));
	CHECK(fsmoe_topo_nodes(topo) == (nodes ? nodes : 1));
	CHECK(fsmoe_watch_start(&watch, topo, 20) == 0);
	CHECK(fsmoe_watch_catch_term(watch) == 0);
	CHECK(fsmoe_groups_create(&groups, topo, NULL) == 0);
	CHECK(fsmoe_comms_create(&comms, groups) == 0);
	fsmoe_comms_set_watch(comms, watch);
	CHECK(fsmoe_comms_groups(comms) == groups);
	CHECK(fsmoe_comms_get(comms, FSMOE_NGROUPS) == NULL);
	if (argc > 2)
		for (int between = 0; between < 2; between++)
			CHECK(fsmoe_comms_emulate(comms, between, (struct fsmoe_link){1e9, 1e-6}) ==
			      0);

	test_alone();
	test_collectives(comms, groups);
	test_reserve(comms);
	test_threads(comms, groups);
	if (!nodes)
		measure_collectives(comms);

	if (fsmoe_topo_ranks(topo) > 1)
		test_disagreement(fsmoe_comms_get(comms, FSMOE_GROUP_WORLD));

	fsmoe_watch_phase(watch, "end");
	fsmoe_comms_destroy(comms);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	fsmoe_watch_stop(watch);
	return 0;
}
