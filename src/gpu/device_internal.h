/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_DEVICE_INTERNAL_H
#define FSMOE_DEVICE_INTERNAL_H

#include "graph/fresh.h"
#include "gpu/device.h"
#include "gpu/lanes.h"
#include "runtime/stream_sync.h"

#include <fsmoe/op.h>

struct fsmoe_device_memory
{
	const struct fsmoe_tensor_info *tensors;
	int ntensors, device;
	char *arena; /* all tensors; NULL: they are others' */
	char **at;   /* by tensor; bases only */
	char **copy; /* the same of parameters' copies in a bf16 run; else NULLs */
	enum fsmoe_real real;
	size_t bytes;
};

struct fsmoe_stream
{
	fsmoe_graph_t graph;
	struct fsmoe_device_memory *memory;
	fsmoe_comms_t comms;
	const struct fsmoe_node *nodes;
	int nnodes, *order;             /* in which they are enqueued */
	struct fsmoe_lanes *lanes, own; /* the runtime's, or its own */
	struct fsmoe_stream_sync waits;
	struct fsmoe_fresh fresh;
	cudaEvent_t *done;  /* by node; NULL where nobody waits and nothing is timed */
	cudaEvent_t *begin; /* by node, with timing; else NULL */
	cudaEvent_t start, end[FSMOE_NLANES];
	int timing;
};

/* Bytes of a tensor on the host, where every number is a float or an int32. */
size_t fsmoe_device_tensor_bytes(const struct fsmoe_tensor_info *tensor);
/* A parameter's copy; NULL: there is none. */
void *fsmoe_device_memory_copy(struct fsmoe_device_memory *memory, fsmoe_tensor_t tensor);

/* The memory of a run in `real` of a graph whose tensors lie at `at` and parameters' copies at
 * `copy` (by tensor, bases only; the arrays are the memory's from now on, also after a failure,
 * what they point to is not). */
int fsmoe_device_memory_wrap(struct fsmoe_device_memory **memory, fsmoe_graph_t graph, int device,
			     enum fsmoe_real real, char **at, char **copy);

/* Fills in what a kernel is told; `data`, `copy` and `tensor` have room for every access. */
void fsmoe_stream_describe(struct fsmoe_stream *stream, const struct fsmoe_node *node,
			   struct fsmoe_call *call, void **data, void **copy,
			   const struct fsmoe_tensor_info **tensor);

/* Runs a node on this thread, on copies of its tensors. Waits for the device first. */
int fsmoe_stream_run_on_host(struct fsmoe_stream *stream, const struct fsmoe_node *node,
			     const struct fsmoe_step *step);

#endif
