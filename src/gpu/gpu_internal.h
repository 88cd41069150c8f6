/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GPU_INTERNAL_H
#define FSMOE_GPU_INTERNAL_H

#include "gpu/lanes.h"
#include "graph/fresh.h"
#include "runtime/gpu_ops.h"

struct fsmoe_gpu
{
	int device;
	fsmoe_comms_t comms;
	int timing, tf32;
	enum fsmoe_real real;
	double peak;
	struct fsmoe_lanes lanes;
	cudaEvent_t ended[FSMOE_NLANES]; /* after the last task of a lane */
	int running;                     /* a step was begun and not waited for */
	int early_release;               /* opts.early_release */
	int windows;                     /* collectives' buffers lie in windows: symmetric.h */
	unsigned no_windows; /* groups (bits) of which a warning said that they have none */
};

/* Events around every node that runs on the GPU; what they count from, on both clocks. */
struct fsmoe_marks
{
	cudaEvent_t *begin, *end, zero;
	double clock;
};

extern const struct fsmoe_gpu_ops fsmoe_gpu_cuda;
extern const struct fsmoe_executor fsmoe_executor_stream;

/* A program's part on the GPU. */
struct fsmoe_gpu_program
{
	struct fsmoe_fresh fresh;
	struct fsmoe_marks *marks;                 /* NULL: nodes are not timed */
	struct fsmoe_early_release *early_release; /* NULL: tasks are not released early */
	struct fsmoe_device_memory *device;        /* of the stream executor, as is the next */
	struct fsmoe_stream *stream;
};

/* Makes program->gpu; fsmoe_gpu_program_free is legal without it. */
int fsmoe_gpu_program_make(struct fsmoe_program *program);
void fsmoe_gpu_program_free(struct fsmoe_program *program);
struct fsmoe_stream_opts fsmoe_gpu_stream_opts(struct fsmoe_gpu *gpu);

/* gpu_copy.c, gpu_task.c, symmetric_window.c: what struct fsmoe_gpu_ops says of them. */
int fsmoe_gpu_write(void *device, const void *from, size_t bytes);
int fsmoe_gpu_read(const void *device, void *to, size_t bytes);
int fsmoe_gpu_copy_bf16(void *device, float *to, const float *from, size_t n);
int fsmoe_gpu_make_copy(const float *param, size_t n, void **copy);
int fsmoe_gpu_write_copy(const float *param, size_t n, void *copy);
void fsmoe_gpu_run(void *buffers[], void *args);
void fsmoe_gpu_done(void *args);
int fsmoe_gpu_held(const struct fsmoe_task_info *info);
int fsmoe_gpu_find_homes(struct fsmoe_program *program, struct fsmoe_home *homes,
			 struct fsmoe_nccl_window **window);
void fsmoe_gpu_keep_window(struct fsmoe_nccl_window *window);
void fsmoe_gpu_release_window(struct fsmoe_nccl_window *window);
/* -ENOMEM with a sentence unless `bytes` more fit. */
int fsmoe_gpu_fits(const struct fsmoe_gpu *gpu, size_t bytes);

#endif
