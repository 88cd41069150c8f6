/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_FAULT_H
#define FSMOE_CUDA_FAULT_H

#include <fsmoe/graph.h>

/*
 * The first fault on the device. A kernel that meets bad data reports it here and goes on with
 * something harmless in its place, inside its memory. The thread that waits for the step reads the
 * fault and makes the sentence. After a fault the optimizer's kernels change nothing.
 */
enum fsmoe_cuda_fault_code
{
	FSMOE_FAULT_NONE,
	FSMOE_FAULT_TOKEN,  /* index: row, value: the token */
	FSMOE_FAULT_TARGET, /* index: row, value: the target */
	FSMOE_FAULT_LOSS,   /* index: row, real: its loss */
	FSMOE_FAULT_LOGIT,  /* index: row, value: the expert */
	FSMOE_FAULT_EXPERT, /* index: row, value: the expert */
	FSMOE_FAULT_NORM,   /* real: the squared norm */
	FSMOE_NFAULTS
};

struct fsmoe_cuda_fault
{
	int code;
	int node;
	long long index, value;
	double real;
};

/* 0, or the failure with its sentence. */
int fsmoe_cuda_fault_check(const struct fsmoe_cuda_fault *fault, fsmoe_graph_t graph);

#endif
