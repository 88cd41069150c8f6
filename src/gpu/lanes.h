/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_LANES_H
#define FSMOE_LANES_H

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <fsmoe/op.h>

/*
 * What the kernels of a GPU's three lanes are given: a stream each, scratch memory, cuBLAS on the
 * compute lane, the fault record that all share. Made before the first step; a step allocates
 * nothing.
 */
struct fsmoe_lanes
{
	struct fsmoe_cuda cuda[FSMOE_NLANES];
	void *workspace;      /* of the compute lane's cuBLAS */
	size_t bytes;         /* device memory */
	enum fsmoe_real real; /* of the run, FSMOE_F32 unless set */
};

/* 0, or the failure with a sentence that says what failed. */
int fsmoe_cuda_check(cudaError_t result, const char *what);

/* On this thread's device. tf32: matrix products may round their factors to it. */
int fsmoe_lanes_make(struct fsmoe_lanes *lanes, int tf32);
/* Everything enqueued must have ended. */
void fsmoe_lanes_free(struct fsmoe_lanes *lanes);
/* Scratch for a node, by the shapes of its tensors. Blocks where a lane's scratch grows: not while
 * a step runs. */
int fsmoe_lanes_reserve(struct fsmoe_lanes *lanes, const struct fsmoe_node *node,
			const struct fsmoe_tensor_info *tensors);
/* After all lanes are done: what a kernel found, once. */
int fsmoe_lanes_fault(struct fsmoe_lanes *lanes, fsmoe_graph_t graph);

#endif
