/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_INTROSPECT_H
#define FSMOE_INTROSPECT_H

#include <fsmoe/runtime.h>

struct fsmoe_watch; /* comm/watch.h */

/* The watchdog, for programs with signal handlers of their own; NULL: there is none. It lives as
 * long as the runtime. */
struct fsmoe_watch *fsmoe_runtime_watch(fsmoe_runtime_t runtime);

/* The names that there are of each, for tables of options; NULL ends them. */
extern const char *const fsmoe_runtime_devices[],
	*const fsmoe_runtime_executors[], *const fsmoe_runtime_dtypes[],
						  *const fsmoe_runtime_cta_policies[];

/* 0, or -EINVAL: names of a device, an executor, a dtype or a CTA policy that there are not, or
 * that do not go together. The same of the start, before there are ranks. */
int fsmoe_runtime_opts_check(const struct fsmoe_runtime_opts *opts);

/* The most chunks of a layer that programs on a device, by its name, may have. */
int fsmoe_runtime_most_chunks(const char *device);

/* The device and dtype it was started with, by the names above. */
const char *fsmoe_runtime_device(fsmoe_runtime_t runtime);
const char *fsmoe_runtime_dtype(fsmoe_runtime_t runtime);

/* Threads that this rank's matrix products take. */
int fsmoe_runtime_blas_threads(fsmoe_runtime_t runtime);

/* Whether tasks note when they become ready; returns what it was. Between steps. */
int fsmoe_runtime_set_recording(fsmoe_runtime_t runtime, int recording);

/* As fsmoe_program_read, of n of its numbers from `first` on, for who looks at a tensor that the
 * host has no room for. */
int fsmoe_program_read_part(fsmoe_program_t program, fsmoe_tensor_t tensor, size_t first, size_t n,
			    void *data);

/* After a wait: makes the host's copy (fsmoe_memory_data) of tensors current, where a GPU has
 * written them. Where the CPU computes nothing need be done. */
int fsmoe_program_pull(fsmoe_program_t program, const fsmoe_tensor_t *tensors, int n);

/* As fsmoe_program_destroy, for who destroys the program's memory next: what no other program uses
 * does not come back from a GPU. */
void fsmoe_program_drop(fsmoe_program_t program);

/* Peak of a rank's matrix products with the arithmetic it was started with, in flop/s, by the
 * GPU's name; 0: unknown, or the CPU computes. */
double fsmoe_runtime_peak(fsmoe_runtime_t runtime);

/* This rank's GPU, in bytes: what it has, what nobody has taken (of it CUDA's own part is gone once
 * the runtime has started), and what programs would take. */
struct fsmoe_gpu_memory
{
	int gpu; /* its number; -1: the CPU computes, and the rest is 0 */
	size_t all, left, need;
};

/* What programs of these graphs will take together; those after the first find their parameters,
 * gradients and state in its memory. -EIO. */
int fsmoe_runtime_gpu_memory(fsmoe_runtime_t runtime, const fsmoe_graph_t *graphs, int n,
			     struct fsmoe_gpu_memory *room);

#endif
