/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/gpu.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stddef.h>

/* In a build without CUDA. There is never a struct fsmoe_gpu, so only the first is ever called. */

int fsmoe_gpu_create(struct fsmoe_gpu **gpu, int host_rank, int host_size, fsmoe_comms_t comms,
		     const struct fsmoe_runtime_opts *opts)
{
	(void)gpu, (void)host_rank, (void)host_size, (void)comms, (void)opts;
	return fsmoe_fail(ENODEV, "the device is 'cuda', but this fsmoe was built without CUDA: "
				  "build it with nvcc, cuBLAS, NCCL and a StarPU that has CUDA, "
				  "or use the device 'cpu'");
}

int fsmoe_gpu_connect(struct fsmoe_gpu *gpu, const char *cta_policy)
{
	(void)gpu, (void)cta_policy;
	return -ENODEV;
}

void fsmoe_gpu_destroy(struct fsmoe_gpu *gpu)
{
	(void)gpu;
}

int fsmoe_gpu_device(const struct fsmoe_gpu *gpu)
{
	(void)gpu;
	return -1;
}

double fsmoe_gpu_peak(const struct fsmoe_gpu *gpu)
{
	(void)gpu;
	return 0;
}

void fsmoe_gpu_prepare_starpu(void)
{
}

int fsmoe_gpu_lanes(struct fsmoe_gpu *gpu, int worker[FSMOE_NLANES])
{
	(void)gpu, (void)worker;
	return -ENODEV;
}

const struct fsmoe_executor *fsmoe_gpu_stream_executor(void)
{
	return NULL;
}

int fsmoe_gpu_memory(size_t *left, size_t *all)
{
	(void)left, (void)all;
	return -ENODEV;
}

int fsmoe_gpu_fits(const struct fsmoe_gpu *gpu, size_t bytes)
{
	(void)gpu, (void)bytes;
	return -ENODEV;
}

int fsmoe_gpu_allocate(const struct fsmoe_gpu *gpu, size_t bytes, void **at)
{
	(void)gpu, (void)bytes, (void)at;
	return -ENODEV;
}

void fsmoe_gpu_free(void *at)
{
	(void)at;
}

int fsmoe_gpu_pin(void *data, size_t bytes)
{
	(void)data, (void)bytes;
	return 0;
}

void fsmoe_gpu_unpin(void *data)
{
	(void)data;
}

int fsmoe_gpu_write(void *device, const void *from, size_t bytes)
{
	(void)device, (void)from, (void)bytes;
	return -ENODEV;
}

int fsmoe_gpu_read(const void *device, void *to, size_t bytes)
{
	(void)device, (void)to, (void)bytes;
	return -ENODEV;
}

int fsmoe_gpu_copy_bf16(void *device, float *to, const float *from, size_t n)
{
	(void)device, (void)to, (void)from, (void)n;
	return -ENODEV;
}

int fsmoe_gpu_make_copy(const float *param, size_t n, void **copy)
{
	(void)param, (void)n, (void)copy;
	return -ENODEV;
}

int fsmoe_gpu_write_copy(const float *param, size_t n, void *copy)
{
	(void)param, (void)n, (void)copy;
	return -ENODEV;
}

int fsmoe_gpu_reserve(struct fsmoe_gpu *gpu, struct fsmoe_program *program)
{
	(void)gpu, (void)program;
	return -ENODEV;
}

void fsmoe_gpu_release(struct fsmoe_program *program)
{
	(void)program;
}

int fsmoe_gpu_begin(struct fsmoe_gpu *gpu, struct fsmoe_program *program)
{
	(void)gpu, (void)program;
	return -ENODEV;
}

int fsmoe_gpu_finish(struct fsmoe_gpu *gpu)
{
	(void)gpu;
	return -ENODEV;
}

int fsmoe_gpu_observe(struct fsmoe_program *program)
{
	(void)program;
	return -ENODEV;
}

void fsmoe_gpu_run(void *buffers[], void *job)
{
	(void)buffers, (void)job;
}

void fsmoe_gpu_done(void *job)
{
	(void)job;
}

int fsmoe_gpu_held(const struct fsmoe_task_info *info)
{
	(void)info;
	return 0;
}

int fsmoe_gpu_fault(struct fsmoe_gpu *gpu, fsmoe_graph_t graph)
{
	(void)gpu, (void)graph;
	return -ENODEV;
}
