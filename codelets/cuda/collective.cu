/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/collective.h"
#include "codelets/rows.h"
#include "codelets/cuda/launch.cuh"
#include "comm/nccl.h"

static size_t bytes_of(const struct fsmoe_call *call, int i)
{
	return fsmoe_tensor_bytes(call->real, call->tensor[i]);
}

static int exchange(const struct fsmoe_call *call, enum fsmoe_pattern_kind kind,
		    const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_tensor_info *one = call->tensor[0] ? call->tensor[0] : call->tensor[1];
	const struct fsmoe_pattern pattern =
		fsmoe_collective_pattern(call, kind, fsmoe_tensor_element(call->real, one));

	return fsmoe_nccl_exchange(call->comm, &pattern, call->data[0], call->data[1],
				   cuda->stream);
}

extern "C" int fsmoe_alltoall_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return call->tensor[0] ? exchange(call, FSMOE_PATTERN_ALLTOALL, cuda) : 0;
}

extern "C" int fsmoe_gather_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return exchange(call, FSMOE_PATTERN_GATHER, cuda);
}

extern "C" int fsmoe_scatter_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return exchange(call, FSMOE_PATTERN_SCATTER, cuda);
}

extern "C" int fsmoe_allgather_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return fsmoe_nccl_allgather(call->comm, call->data[0], call->data[1], bytes_of(call, 0),
				    cuda->stream);
}

extern "C" int fsmoe_reduce_scatter_cuda(const struct fsmoe_call *call,
					 const struct fsmoe_cuda *cuda)
{
	return fsmoe_nccl_reduce_scatter(call->comm, fsmoe_tensor_real(call->real, call->tensor[0]),
					 call->data[0], call->data[1], fsmoe_count(call->tensor[1]),
					 cuda->stream);
}

extern "C" int fsmoe_allreduce_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return fsmoe_nccl_allreduce(call->comm, data_of<float>(call, 0),
				    fsmoe_count(call->tensor[0]), cuda->stream);
}

/* --- rows of a chunk: all of them, zeros where nobody is -------------------------------------- */

extern "C" int fsmoe_alltoall_rows_cuda(const struct fsmoe_call *call,
					const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_rows_args *a = static_cast<const struct fsmoe_rows_args *>(call->args);
	const struct fsmoe_pattern pattern = {
		FSMOE_PATTERN_ALLTOALL, call->comm->size, call->comm->rank, a->outer,
		bytes_of(call, 0) / a->outer / (size_t)call->comm->size};

	return fsmoe_nccl_exchange(call->comm, &pattern, call->data[0], call->data[3],
				   cuda->stream);
}

extern "C" int fsmoe_allgather_rows_cuda(const struct fsmoe_call *call,
					 const struct fsmoe_cuda *cuda)
{
	return fsmoe_nccl_allgather(call->comm, call->data[0], call->data[3], bytes_of(call, 0),
				    cuda->stream);
}

extern "C" int fsmoe_reduce_scatter_rows_cuda(const struct fsmoe_call *call,
					      const struct fsmoe_cuda *cuda)
{
	return fsmoe_nccl_reduce_scatter(call->comm, fsmoe_tensor_real(call->real, call->tensor[0]),
					 call->data[0], call->data[3], fsmoe_count(call->tensor[3]),
					 cuda->stream);
}
