/* SPDX-License-Identifier: Apache-2.0 */
#include "train/plan_agree.h"

#include "comm/comm.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <inttypes.h>

int fsmoe_plan_agree(const struct fsmoe_plan *plan, fsmoe_comms_t comms)
{
	struct fsmoe_comm *world = fsmoe_comms_get(comms, FSMOE_GROUP_WORLD);
	uint64_t all[world->size], mine = 0;
	int err = plan ? fsmoe_plan_hash(plan, &mine) : 0;

	if (!err)
		err = fsmoe_comm_allgather(world, &mine, all, sizeof(mine));
	for (int r = 1; r < world->size && !err; r++)
		if (all[r] != all[0])
			err = fsmoe_fail(EINVAL,
					 "rank %d has another plan than rank 0 (%016" PRIx64
					 " and %016" PRIx64
					 "): give every rank the same profile, plan and options",
					 r, all[r], all[0]);
	return err;
}
