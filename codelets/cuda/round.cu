/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/round.h"
#include "codelets/cuda/launch.cuh"

extern "C" int fsmoe_cuda_round(const float *from, void *to, size_t n, struct CUstream_st *stream)
{
	rounded f = {from, static_cast<bf16 *>(to)};

	if (n > 0)
		map_kernel<1><<<blocks_for(n, 256), 256, 0, stream>>>(f, n);
	cudaError_t err = cudaGetLastError();
	return err == cudaSuccess ? 0
				  : fsmoe_fail(EIO, "CUDA could not round to bf16: %s",
					       cudaGetErrorString(err));
}
