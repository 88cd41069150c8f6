/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/lanes.h"

#include "codelets/cuda/fault.h"
#include "codelets/cuda/product.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>

enum
{
	WORKSPACE = 32 << 20 /* what cuBLAS asks for on this generation of GPUs */
};

int fsmoe_cuda_check(cudaError_t result, const char *what)
{
	if (result == cudaSuccess)
		return 0;
	return fsmoe_fail(result == cudaErrorMemoryAllocation ? ENOMEM
			  : result == cudaErrorNoDevice       ? ENODEV
							      : EIO,
			  "%s failed on the GPU: %s", what, cudaGetErrorString(result));
}

static int blas_check(cublasStatus_t status)
{
	return status == CUBLAS_STATUS_SUCCESS ? 0
					       : fsmoe_fail(EIO, "cuBLAS does not start: %s",
							    cublasGetStatusString(status));
}

/* The workspace is given after the stream, which would take it away again, and is our own because
 * cuBLAS's choices, and so its sums, then do not depend on other streams. */
static int make_blas(struct fsmoe_lanes *lanes, int tf32)
{
	struct fsmoe_cuda *c = &lanes->cuda[FSMOE_COMPUTE];
	int err = blas_check(cublasCreate(&c->cublas));

	if (!err)
		err = fsmoe_cuda_check(cudaMalloc(&lanes->workspace, WORKSPACE),
				       "allocating the workspace of cuBLAS");
	if (!err)
		err = blas_check(cublasSetStream(c->cublas, c->stream));
	if (!err)
		err = blas_check(cublasSetWorkspace(c->cublas, lanes->workspace, WORKSPACE));
	if (!err)
		err = blas_check(cublasSetMathMode(c->cublas, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH
								   : CUBLAS_DEFAULT_MATH));
	lanes->bytes += WORKSPACE;
	if (!err)
		c->products = fsmoe_products_make(lanes->workspace, WORKSPACE);
	if (!err && !c->products)
		err = fsmoe_fail(ENOMEM, "no memory for the choices of matrix products");
	return err;
}

/* Communication goes before computation where both want the GPU's processors: it needs few of them,
 * and others wait for it. */
static int make_stream(cudaStream_t *stream, int lane)
{
	int least = 0, greatest = 0;
	int err = fsmoe_cuda_check(cudaDeviceGetStreamPriorityRange(&least, &greatest),
				   "asking for priorities");

	return err ? err
		   : fsmoe_cuda_check(
			     cudaStreamCreateWithPriority(stream, cudaStreamNonBlocking,
							  lane == FSMOE_COMPUTE ? least : greatest),
			     "making a stream");
}

int fsmoe_lanes_make(struct fsmoe_lanes *lanes, int tf32)
{
	struct fsmoe_cuda_fault *fault = NULL;
	int err =
		fsmoe_cuda_check(cudaMalloc((void **)&fault, sizeof(*fault)), "allocating memory");

	*lanes = (struct fsmoe_lanes){0};
	if (!err)
		err = fsmoe_cuda_check(cudaMemset(fault, 0, sizeof(*fault)), "clearing memory");
	for (int l = 0; l < FSMOE_NLANES && !err; l++)
	{
		lanes->cuda[l].fault = fault;
		err = make_stream(&lanes->cuda[l].stream, l);
	}
	if (!err)
		err = make_blas(lanes, tf32);
	/* Memory was set by the default stream, for which the lanes do not wait. */
	if (!err)
		err = fsmoe_cuda_check(cudaDeviceSynchronize(), "starting the streams");
	if (err)
		fsmoe_lanes_free(lanes);
	return err;
}

void fsmoe_lanes_free(struct fsmoe_lanes *lanes)
{
	if (lanes->cuda[FSMOE_COMPUTE].cublas)
		cublasDestroy(lanes->cuda[FSMOE_COMPUTE].cublas);
	fsmoe_products_free(lanes->cuda[FSMOE_COMPUTE].products);
	for (int l = 0; l < FSMOE_NLANES; l++)
	{
		cudaFree(lanes->cuda[l].scratch);
		if (lanes->cuda[l].stream)
			cudaStreamDestroy(lanes->cuda[l].stream);
	}
	cudaFree(lanes->cuda[0].fault);
	cudaFree(lanes->workspace);
	*lanes = (struct fsmoe_lanes){0};
}

int fsmoe_lanes_reserve(struct fsmoe_lanes *lanes, const struct fsmoe_node *node,
			const struct fsmoe_tensor_info *tensors)
{
	struct fsmoe_cuda *c = &lanes->cuda[node->lane];
	const size_t bytes = fsmoe_scratch_bytes(node, tensors, lanes->real);
	int err;

	if (bytes <= c->scratch_bytes)
		return 0;
	err = fsmoe_cuda_check(cudaStreamSynchronize(c->stream), "waiting for a stream");
	cudaFree(c->scratch);
	lanes->bytes -= c->scratch_bytes;
	c->scratch = NULL;
	c->scratch_bytes = 0;
	if (!err)
		err = fsmoe_cuda_check(cudaMalloc(&c->scratch, bytes), "allocating scratch memory");
	if (err)
		return err;
	c->scratch_bytes = bytes;
	lanes->bytes += bytes;
	return 0;
}

int fsmoe_lanes_fault(struct fsmoe_lanes *lanes, fsmoe_graph_t graph)
{
	struct fsmoe_cuda_fault fault, *at = lanes->cuda[0].fault;
	int err = fsmoe_cuda_check(cudaMemcpy(&fault, at, sizeof(fault), cudaMemcpyDeviceToHost),
				   "reading the faults of a step");

	if (err || fault.code == FSMOE_FAULT_NONE)
		return err;
	err = fsmoe_cuda_check(cudaMemset(at, 0, sizeof(fault)), "clearing memory");
	if (!err) /* before streams that do not wait for the default one */
		err = fsmoe_cuda_check(cudaStreamSynchronize(NULL), "clearing memory");
	return err ? err : fsmoe_cuda_fault_check(&fault, graph);
}
