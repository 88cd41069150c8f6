/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GPU_H
#define FSMOE_GPU_H

#include "comm/comm.h"

#include <fsmoe/op.h>
#include <fsmoe/runtime.h>

/*
 * This rank's GPU, as the runtime sees it: no header of CUDA is needed. gpu.c implements it; in a
 * build without CUDA gpu_absent.c, which refuses to create one, so that nothing else is called.
 */
struct fsmoe_gpu;
struct fsmoe_program;
struct fsmoe_executor;
struct fsmoe_task_info; /* fsmoe/starpu.h */

/* Takes the GPU of this rank of the host. Local. -ENODEV with a sentence. */
int fsmoe_gpu_create(struct fsmoe_gpu **gpu, int host_rank, int host_size, fsmoe_comms_t comms,
		     const struct fsmoe_runtime_opts *opts);
/* Makes it this thread's device, and the communicators between GPUs, by a CTA policy. Collective over the job. After
 * StarPU has started: what it measures the first time destroys whatever was on the device. */
int fsmoe_gpu_connect(struct fsmoe_gpu *gpu, const char *cta_policy);
void fsmoe_gpu_destroy(struct fsmoe_gpu *gpu); /* collective over the job; nothing runs any more */
int fsmoe_gpu_device(const struct fsmoe_gpu *gpu);
/* Of its matrix products, in flop/s; 0: unknown. */
double fsmoe_gpu_peak(const struct fsmoe_gpu *gpu);
/* StarPU's settings that are only read from the environment; before it starts. */
void fsmoe_gpu_prepare_starpu(void);
/* Makes the lanes of all programs, with their streams. Where StarPU runs its workers are the lanes;
 * worker: by lane, out; else NULL. */
int fsmoe_gpu_lanes(struct fsmoe_gpu *gpu, int worker[FSMOE_NLANES]);
const struct fsmoe_executor *fsmoe_gpu_stream_executor(void);

/* Of this thread's device, in bytes. */
int fsmoe_gpu_memory(size_t *left, size_t *all);
/* -ENOMEM with a sentence unless `bytes` more fit. */
int fsmoe_gpu_fits(const struct fsmoe_gpu *gpu, size_t bytes);
/* So many bytes of its memory, the caller's to free; freeing waits for the device. */
int fsmoe_gpu_allocate(const struct fsmoe_gpu *gpu, size_t bytes, void **at);
void fsmoe_gpu_free(void *at);
/* 1: the host's memory there is pinned now, which copies to and from it need to be asynchronous; 0:
 * it could not be, a neighbour in its page is. */
int fsmoe_gpu_pin(void *data, size_t bytes);
void fsmoe_gpu_unpin(void *data);
/* To the device as it is; what is zero, of which the host mostly has no pages yet, does not travel.
 * Blocks. */
int fsmoe_gpu_write(void *device, const void *from, size_t bytes);
/* From the device as it is. Blocks. */
int fsmoe_gpu_read(const void *device, void *to, size_t bytes);
/* Either way (to or from is NULL), of n numbers that are floats on the host and bf16 on the device.
 * Blocks. */
int fsmoe_gpu_copy_bf16(void *device, float *to, const float *from, size_t n);
/* A parameter's copy: made beside n floats on the device, the caller's to free, and written from
 * them. Blocks. */
int fsmoe_gpu_make_copy(const float *param, size_t n, void **copy);
int fsmoe_gpu_write_copy(const float *param, size_t n, void *copy);
/* Everything a program needs besides its tensors: scratch, and events. */
int fsmoe_gpu_reserve(struct fsmoe_gpu *gpu, struct fsmoe_program *program);
void fsmoe_gpu_release(struct fsmoe_program *program);
/* Before a step: waits for one that nobody waited for; from here times count. */
int fsmoe_gpu_begin(struct fsmoe_gpu *gpu, struct fsmoe_program *program);
/* When StarPU's tasks have ended: until those that ran ahead have, too. */
int fsmoe_gpu_finish(struct fsmoe_gpu *gpu);
/* Times of the last step's nodes that ran on the GPU, on the clock of base/clock.h. */
int fsmoe_gpu_observe(struct fsmoe_program *program);
/* Every CUDA codelet's function, and what StarPU calls when its work is done. */
void fsmoe_gpu_run(void *buffers[], void *job);
void fsmoe_gpu_done(void *job);
/* Of a task that runs ahead: whether its lane still works. */
int fsmoe_gpu_held(const struct fsmoe_task_info *info);
/* After a wait: what a kernel found, once. */
int fsmoe_gpu_fault(struct fsmoe_gpu *gpu, fsmoe_graph_t graph);

#endif
