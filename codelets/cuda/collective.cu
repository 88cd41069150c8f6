/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/collective.h"
#include "codelets/cuda/launch.cuh"
#include "comm/device.h"

static size_t bytes_of(const struct fsmoe_call *call, int i)
{
	return fsmoe_tensor_bytes(call->real, call->tensor[i]);
}

extern "C" int fsmoe_alltoall_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return fsmoe_device_alltoall(call->comm, call->data[0], call->data[1], bytes_of(call, 0),
				     cuda->stream);
}

extern "C" int fsmoe_allgather_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return fsmoe_device_allgather(call->comm, call->data[0], call->data[1], bytes_of(call, 0),
				      cuda->stream);
}

extern "C" int fsmoe_reduce_scatter_cuda(const struct fsmoe_call *call,
					 const struct fsmoe_cuda *cuda)
{
	return fsmoe_device_reduce_scatter(
		call->comm, fsmoe_tensor_real(call->real, call->tensor[0]), call->data[0],
		call->data[1], fsmoe_count(call->tensor[1]), cuda->stream);
}

extern "C" int fsmoe_allreduce_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return fsmoe_device_allreduce(call->comm, data_of<float>(call, 0),
				      fsmoe_count(call->tensor[0]), cuda->stream);
}
