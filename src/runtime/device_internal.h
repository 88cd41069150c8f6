/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_RUNTIME_DEVICE_INTERNAL_H
#define FSMOE_RUNTIME_DEVICE_INTERNAL_H

#include "runtime/device.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <fsmoe/op.h>

struct fsmoe_device_memory
{
	const struct fsmoe_tensor_info *tensors;
	int ntensors, device;
	char *base;
	size_t *at; /* by tensor, bytes from base; bases only */
	size_t bytes;
};

struct fsmoe_stream
{
	fsmoe_graph_t graph;
	struct fsmoe_device_memory *memory;
	fsmoe_comms_t comms;
	const struct fsmoe_node *nodes;
	int nnodes;
	struct fsmoe_cuda cuda[FSMOE_NLANES]; /* stream, handle, scratch of each lane */
	void *workspace;                      /* of the compute lane's cuBLAS */
	size_t bytes;
	int (*wait)[FSMOE_NLANES]; /* by node: the last node of another lane that it follows; -1 */
	cudaEvent_t *done;         /* by node; NULL where nobody waits and nothing is timed */
	cudaEvent_t *begin;        /* by node, with timing; else NULL */
	cudaEvent_t start, end[FSMOE_NLANES];
	int timing;
};

/* 0, or the failure with a sentence that says what failed. */
int fsmoe_cuda_check(cudaError_t result, const char *what);
size_t fsmoe_device_tensor_bytes(const struct fsmoe_tensor_info *tensor);

/* Fills in what a kernel is told, `data` and `tensor` with room for every access; with `bare` no
 * addresses, to ask for its need of scratch. */
void fsmoe_stream_describe(struct fsmoe_stream *stream, const struct fsmoe_node *node,
			   struct fsmoe_call *call, void **data,
			   const struct fsmoe_tensor_info **tensor, int bare);

/* Runs a node on this thread, on copies of its tensors. Waits for the device first. */
int fsmoe_stream_run_on_host(struct fsmoe_stream *stream, const struct fsmoe_node *node,
			     const struct fsmoe_step *step);

#endif
