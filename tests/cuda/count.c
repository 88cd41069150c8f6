/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands before the CUDA runtime in the order in which the loader looks for names, and counts what
 * no training step may do. Every function here is called as the one it stands for.
 */
#include "check.h"

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_int allocations, frees, waits;

struct cuda_calls count_cuda_calls(void)
{
	return (struct cuda_calls){allocations, frees, waits};
}

int count_is_idle(const struct cuda_calls *before)
{
	const struct cuda_calls now = count_cuda_calls();
	const int allocations = now.allocations - before->allocations,
		  frees = now.frees - before->frees, waits = now.waits - before->waits;

	if (!allocations && !frees && !waits)
		return 0;
	printf("in the steps: %d allocations, %d frees, %d waits for the whole device\n",
	       allocations, frees, waits);
	return 1;
}

static void *real(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	if (function)
		return function;
	fprintf(stderr, "there is no %s in the CUDA runtime\n", name);
	abort();
}

#define COUNTED(counter, name, parameters, ...)                                                    \
	cudaError_t name parameters                                                                \
	{                                                                                          \
		cudaError_t(*call) parameters = (cudaError_t(*) parameters)real(#name);            \
		atomic_fetch_add(&(counter), 1);                                                   \
		return call(__VA_ARGS__);                                                          \
	}

/* clang-format off */
COUNTED(allocations, cudaMalloc, (void **at, size_t size), at, size)
COUNTED(allocations, cudaMallocHost, (void **at, size_t size), at, size)
COUNTED(allocations, cudaMallocManaged, (void **at, size_t size, unsigned flags), at, size, flags)
COUNTED(allocations, cudaHostAlloc, (void **at, size_t size, unsigned flags), at, size, flags)
COUNTED(allocations, cudaHostRegister, (void *at, size_t size, unsigned flags), at, size, flags)
COUNTED(frees, cudaFree, (void *at), at)
COUNTED(frees, cudaFreeHost, (void *at), at)
COUNTED(frees, cudaHostUnregister, (void *at), at)
COUNTED(waits, cudaDeviceSynchronize, (void))
