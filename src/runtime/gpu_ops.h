/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GPU_OPS_H
#define FSMOE_GPU_OPS_H

#include "comm/comm.h"

#include <fsmoe/op.h>
#include <fsmoe/runtime.h>

struct fsmoe_gpu;
struct fsmoe_home;
struct fsmoe_nccl_window;
struct fsmoe_program;
struct fsmoe_executor;
struct fsmoe_task_info; /* fsmoe/starpu.h */

/*
 * This rank's GPU as the runtime sees it, without a header of CUDA. src/gpu/gpu.c fills the table
 * in; `fsmoe_gpu` is NULL in a build without CUDA, and only start.c, which creates the GPU, must
 * look. Functions that return int return 0 or -errno with a sentence.
 */
struct fsmoe_gpu_ops
{
	/* Takes the GPU of this rank of the host. Local. -ENODEV. */
	int (*create)(struct fsmoe_gpu **gpu, int host_rank, int host_size, fsmoe_comms_t comms,
		      const struct fsmoe_runtime_opts *opts);
	/* Makes it this thread's device, and the communicators between GPUs. Called after StarPU
	 * has started, whose first measurements destroy what is on the device. Collective over the
	 * job. */
	int (*connect)(struct fsmoe_gpu *gpu, const char *cta_policy);
	/* Nothing may run any more; NULL is legal. Collective over the job. */
	void (*destroy)(struct fsmoe_gpu *gpu);
	int (*device)(const struct fsmoe_gpu *gpu);
	/* Peak of its matrix products in flop/s; 0: unknown. */
	double (*peak)(const struct fsmoe_gpu *gpu);
	/* Before StarPU starts: sets what StarPU reads from the environment alone. */
	void (*prepare_starpu)(void);
	/* Makes the lanes of all programs with their streams. worker: StarPU's workers by lane,
	 * out; NULL: StarPU does not run. */
	int (*make_lanes)(struct fsmoe_gpu *gpu, int worker[FSMOE_NLANES]);
	const struct fsmoe_executor *stream_executor;

	/* Free and total bytes of this thread's device. */
	int (*memory)(size_t *left, size_t *all);
	/* Device memory, the caller's to free. Freeing waits for the device. -ENOMEM. */
	int (*allocate)(const struct fsmoe_gpu *gpu, size_t bytes, void **at);
	void (*free)(void *at);
	/* Pins the host's memory, as asynchronous copies need. 1: pinned; 0: not possible, since
	 * a neighbour in its page is. */
	int (*pin)(void *data, size_t bytes);
	void (*unpin)(void *data);
	/* Copies without conversion; blocks. Blocks of zeros, for which the host mostly has no
	 * pages yet, are set on the device and do not travel. */
	int (*write)(void *device, const void *from, size_t bytes);
	int (*read)(const void *device, void *to, size_t bytes);
	/* Copies n numbers, float on the host and bf16 on the device, in one direction: the other
	 * of `to` and `from` is NULL. Blocks. */
	int (*copy_bf16)(void *device, float *to, const float *from, size_t n);
	/* The bf16 copy of a parameter of n floats on the device: made (the caller frees it) and
	 * written, or written again. Blocks. */
	int (*make_copy)(const float *param, size_t n, void **copy);
	int (*write_copy)(const float *param, size_t n, void *copy);
	/* Under the CTA policy "zero": where a program's tensors lie in a window, by tensor, and
	 * the window (NULL: nowhere), which the caller releases. A handle in it keeps it.
	 * Collective over the job. */
	int (*find_homes)(struct fsmoe_program *program, struct fsmoe_home *homes,
			  struct fsmoe_nccl_window **window);
	void (*keep_window)(struct fsmoe_nccl_window *window);
	void (*release_window)(struct fsmoe_nccl_window *window);

	/* Scratch memory and events of a program. */
	int (*reserve)(struct fsmoe_gpu *gpu, struct fsmoe_program *program);
	void (*release)(struct fsmoe_program *program);
	/* Before a step; waits for an earlier step that nobody waited for. Times count from
	 * here. */
	int (*begin)(struct fsmoe_gpu *gpu, struct fsmoe_program *program);
	/* After StarPU's tasks have ended: waits for those that were released early. */
	int (*finish)(struct fsmoe_gpu *gpu);
	/* Times of the last step's nodes on the GPU, on the clock of base/clock.h. */
	int (*observe)(struct fsmoe_program *program);
	/* The function of every CUDA codelet, and the callback after its work; args is a struct
	 * fsmoe_task_args. */
	void (*run)(void *buffers[], void *args);
	void (*done)(void *args);
	/* Whether the lane of a task that is released early still works. */
	int (*held)(const struct fsmoe_task_info *info);
	/* After a wait: the failure that a kernel found, once. */
	int (*fault)(struct fsmoe_gpu *gpu, fsmoe_graph_t graph);
};

extern const struct fsmoe_gpu_ops *const fsmoe_gpu;

#endif
