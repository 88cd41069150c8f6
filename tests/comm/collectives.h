/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TESTS_COMM_COLLECTIVES_H
#define FSMOE_TESTS_COMM_COLLECTIVES_H

#include "comm/comm.h"

struct group
{
	struct fsmoe_comm *comm;
	int members[64];
	int n, me, world_rank;
};

struct group get_group(fsmoe_comms_t comms, fsmoe_groups_t groups, enum fsmoe_group kind);

/* Every collective over every kind of group, and two of them over one; collective. What must come
 * out is computed by each rank from rank numbers alone. */
void test_collectives(fsmoe_comms_t comms, fsmoe_groups_t groups);
void test_allreduce(const struct group *group, enum fsmoe_real real);
void test_alltoallv(const struct group *group);

#endif
