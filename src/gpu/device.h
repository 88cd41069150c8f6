/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_DEVICE_H
#define FSMOE_DEVICE_H

#include <fsmoe/graph.h>

/*
 * A graph's tensors in the memory of a GPU, and the stream walker, which runs the graph there
 * without StarPU: the reference for values, and the yardstick of what StarPU costs. Only in builds
 * with CUDA. All memory is allocated when these are made; a step allocates nothing.
 */

struct fsmoe_device_memory;
struct fsmoe_stream;
struct fsmoe_lanes; /* gpu/lanes.h */

/* How many GPUs there are; 0 also where there is no driver. */
int fsmoe_device_count(void);

/* Every tensor of the graph, zeros, for a run in float or, create_as, in `real`: FSMOE_F32 or
 * FSMOE_BF16; the thread then works with that device. -ENODEV, -ENOMEM (says how much was asked for
 * and how much is free), -EINVAL: the graph does not say which of its tensors stay float. */
int fsmoe_device_memory_create(struct fsmoe_device_memory **memory, fsmoe_graph_t graph,
			       int device);
int fsmoe_device_memory_create_as(struct fsmoe_device_memory **memory, fsmoe_graph_t graph,
				  int device, enum fsmoe_real real);
void fsmoe_device_memory_destroy(struct fsmoe_device_memory *memory);
void *fsmoe_device_memory_data(struct fsmoe_device_memory *memory, fsmoe_tensor_t tensor);
size_t fsmoe_device_memory_bytes(struct fsmoe_device_memory *memory);
/* Every byte, of all tensors. */
int fsmoe_device_memory_fill(struct fsmoe_device_memory *memory, int byte);
/* Inputs and persistent tensors (upload), all tensors (download), from or to a float memory of the
 * same graph. Blocks. */
int fsmoe_device_memory_upload(struct fsmoe_device_memory *memory, fsmoe_memory_t from);
int fsmoe_device_memory_download(struct fsmoe_device_memory *memory, fsmoe_memory_t to);
/* One tensor, bytes of it from its start: of floats or int32, whatever the run. */
int fsmoe_device_memory_read(struct fsmoe_device_memory *memory, fsmoe_tensor_t tensor, void *data,
			     size_t bytes);
/* Reads n numbers of a tensor from number `first` on. */
int fsmoe_device_memory_read_part(struct fsmoe_device_memory *memory, fsmoe_tensor_t tensor,
				  size_t first, size_t n, void *data);
int fsmoe_device_memory_write(struct fsmoe_device_memory *memory, fsmoe_tensor_t tensor,
			      const void *data, size_t bytes);

struct fsmoe_stream_opts
{
	int timing;                /* 1: record when every node starts and ends */
	int tf32;                  /* 1: matrix products may round their factors to TF32 */
	struct fsmoe_lanes *lanes; /* streams and scratch that others use too, one program at a
				    * time; tf32 is theirs. NULL: of its own */
};

/* Streams, events, scratch for a graph whose tensors lie in `memory`; comms (may be NULL: one
 * rank) with their device's side made. All three must outlive it; opts may be NULL. */
int fsmoe_stream_create(struct fsmoe_stream **stream, fsmoe_graph_t graph,
			struct fsmoe_device_memory *memory, fsmoe_comms_t comms,
			const struct fsmoe_stream_opts *opts);
void fsmoe_stream_destroy(struct fsmoe_stream *stream);
size_t fsmoe_stream_bytes(struct fsmoe_stream *stream); /* device memory of its lanes */
/* Enqueues a step and returns; steps follow one another. A node whose operation has no CUDA kernel
 * runs on this thread, between a copy out and a copy in. */
int fsmoe_stream_submit(struct fsmoe_stream *stream, const struct fsmoe_step *step);
/* Until everything is done. A fault that a kernel found comes out here, once. */
int fsmoe_stream_wait(struct fsmoe_stream *stream);
/* With `timing`, after a wait: when the nodes of the last step ran. */
int fsmoe_stream_observe(struct fsmoe_stream *stream, struct fsmoe_timeline *timeline);

/* The fifth walker: one step from start to end. */
int fsmoe_graph_stream(fsmoe_graph_t graph, struct fsmoe_device_memory *memory, fsmoe_comms_t comms,
		       const struct fsmoe_step *step);

#endif
