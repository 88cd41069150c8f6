/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_KERNELS_H
#define FSMOE_KERNELS_H

#include <fsmoe/op.h>

/* Kernels are C functions, also where a .cu file, which is C++, defines them. */
#ifdef __cplusplus
#define FSMOE_KERNEL_LINKAGE extern "C"
#else
#define FSMOE_KERNEL_LINKAGE
#endif

/* Declares the kernels that a row names: float and double of codelets/cpu, and of codelets/cuda
 * those of float and bf16 runs and what they need of scratch memory, which not every operation
 * has. */
#define FSMOE_KERNELS(name)                                                                        \
	FSMOE_KERNEL_LINKAGE int fsmoe_##name##_f32(const struct fsmoe_call *call);                \
	FSMOE_KERNEL_LINKAGE int fsmoe_##name##_f64(const struct fsmoe_call *call);                \
	FSMOE_KERNEL_LINKAGE int fsmoe_##name##_cuda(const struct fsmoe_call *call,                \
						     const struct fsmoe_cuda *cuda);               \
	FSMOE_KERNEL_LINKAGE int fsmoe_##name##_bf16(const struct fsmoe_call *call,                \
						     const struct fsmoe_cuda *cuda);               \
	FSMOE_KERNEL_LINKAGE size_t fsmoe_##name##_cuda_scratch(const struct fsmoe_call *call)
#define FSMOE_CPU(name) .cpu = {fsmoe_##name##_f32, fsmoe_##name##_f64}

/* NULL in a build without CUDA. FSMOE_CUDA_FLOAT: one kernel for both runs, because all tensors
 * are float in either, or because it looks. */
#ifdef FSMOE_USE_CUDA
#define FSMOE_CUDA(name)         .cuda = fsmoe_##name##_cuda, .cuda_bf16 = fsmoe_##name##_bf16
#define FSMOE_CUDA_FLOAT(name)   .cuda = fsmoe_##name##_cuda, .cuda_bf16 = fsmoe_##name##_cuda
#define FSMOE_CUDA_SCRATCH(name) .cuda_scratch = fsmoe_##name##_cuda_scratch
#else
#define FSMOE_CUDA(name)         .cuda = NULL
#define FSMOE_CUDA_FLOAT(name)   .cuda = NULL
#define FSMOE_CUDA_SCRATCH(name) .cuda_scratch = NULL
#endif

#endif
