/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/clock.h"
#include "comm/comm.h"

/*
 * emulated_link: four ranks as two nodes on an emulated link. What crosses nodes takes latency +
 * bytes / bandwidth or longer, also of the rank that comes last; what does not is as fast as ever:
 * in the best of a few tries, for nothing bounds how long a busy machine takes.
 */

enum
{
	BYTES = 200000, /* from each rank to each */
	TRIES = 5
};

static const struct fsmoe_link link_ = {1e7, 5e-3};

/* Returns the least seconds of an AlltoAll over the group, to which its last rank comes late. */
static double least(fsmoe_comms_t comms, enum fsmoe_group kind)
{
	struct fsmoe_comm *comm = fsmoe_comms_get(comms, kind);
	char *send = calloc((size_t)comm->size, BYTES), *recv = calloc((size_t)comm->size, BYTES);
	double best = 1e9;

	CHECK(send && recv);
	for (int i = 0; i < TRIES; i++)
	{
		double start;

		CHECK(fsmoe_comm_barrier(comm) == 0);
		if (comm->rank == comm->size - 1)
			fsmoe_clock_sleep(1e-2);
		start = fsmoe_clock();
		CHECK(fsmoe_comm_alltoall(comm, send, recv, BYTES) == 0);
		start = fsmoe_clock() - start;
		best = start < best ? start : best;
	}
	free(send);
	free(recv);
	return best;
}

int main(void)
{
	const enum fsmoe_group kinds[] = {FSMOE_GROUP_EP, FSMOE_GROUP_ESP, FSMOE_GROUP_WORLD};
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_comms_t comms;
	int inside = 0, between = 0;

	CHECK(fsmoe_topo_create(&topo, NULL, 2) == 0);
	CHECK(fsmoe_groups_create(&groups, topo, NULL) == 0);
	CHECK(fsmoe_comms_create(&comms, groups) == 0);
	CHECK(fsmoe_comms_emulate(comms, 1, link_) == 0);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		const int peers = fsmoe_group_size(groups, kinds[i]) - 1;
		const double asked = link_.latency + peers * BYTES / link_.bandwidth;
		const double took = least(comms, kinds[i]);

		if (fsmoe_group_spans_nodes(groups, kinds[i]))
		{
			CHECK(took >= asked);
			between++;
		}
		else
		{
			CHECK(took < asked || fsmoe_group_rank(groups, kinds[i]) < peers);
			inside++;
		}
	}
	CHECK(inside > 0 && between > 0);
	fsmoe_comms_destroy(comms);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return 0;
}
