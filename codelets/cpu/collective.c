/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/collective.h"
#include "codelets/cpu/real.h"
#include "codelets/shape.h"
#include "comm/comm.h"

static size_t bytes_of(const struct fsmoe_tensor_info *t)
{
	return fsmoe_count(t) * (t->dtype == FSMOE_INT32 ? sizeof(int32_t) : sizeof(real));
}

static int exchange(const struct fsmoe_call *call, enum fsmoe_pattern_kind kind)
{
	return fsmoe_comm_exchange(call->comm, fsmoe_collective_pattern(call, kind, sizeof(real)),
				   call->data[0], call->data[1]);
}

int KERNEL(alltoall)(const struct fsmoe_call *call)
{
	return call->data[0] ? exchange(call, FSMOE_PATTERN_ALLTOALL) : 0;
}

int KERNEL(gather)(const struct fsmoe_call *call)
{
	return exchange(call, FSMOE_PATTERN_GATHER);
}

int KERNEL(scatter)(const struct fsmoe_call *call)
{
	return exchange(call, FSMOE_PATTERN_SCATTER);
}

int KERNEL(allgather)(const struct fsmoe_call *call)
{
	return fsmoe_comm_allgather(call->comm, call->data[0], call->data[1],
				    bytes_of(call->tensor[0]));
}

int KERNEL(reduce_scatter)(const struct fsmoe_call *call)
{
	return fsmoe_comm_reduce_scatter(call->comm, KERNEL_REAL, call->data[0], call->data[1],
					 fsmoe_count(call->tensor[1]));
}

int KERNEL(allreduce)(const struct fsmoe_call *call)
{
	return fsmoe_comm_allreduce(call->comm, KERNEL_REAL, call->data[0],
				    fsmoe_count(call->tensor[0]));
}
