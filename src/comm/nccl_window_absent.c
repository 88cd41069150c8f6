/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "comm/nccl_comm.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

/* With an NCCL older than 2.28, beside window_absent.c. */

static const char reason[] = "this fsmoe was built with an NCCL older than 2.28";

int fsmoe_nccl_init(struct fsmoe_comm *comm, ncclUniqueId id, const char *cta_policy)
{
	ncclComm_t device = NULL;
	int err = fsmoe_nccl_check(ncclCommInitRank(&device, comm->size, id, comm->rank),
				   "ncclCommInitRank");

	(void)cta_policy;
	comm->device = device;
	return err;
}

int fsmoe_window_find_groups(fsmoe_comms_t comms, const char *cta_policy)
{
	/* Of "zero" it is told where a program could use it. */
	if (strcmp(cta_policy, "efficiency") == 0 &&
	    fsmoe_comms_get(comms, FSMOE_GROUP_WORLD)->rank == 0)
		fsmoe_log(FSMOE_LOG_WARNING, "the CTA policy stays 'default', not '%s': %s",
			  cta_policy, reason);
	return 0;
}

int fsmoe_window_holds(const struct fsmoe_comm *comm, const void *send, const void *recv)
{
	(void)comm, (void)send, (void)recv;
	return 0;
}

int fsmoe_window_alltoall(struct fsmoe_comm *comm, const void *send, void *recv, size_t bytes,
			  struct CUstream_st *stream)
{
	(void)comm, (void)send, (void)recv, (void)bytes, (void)stream;
	return fsmoe_fail(ENOTSUP, "%s", reason);
}
