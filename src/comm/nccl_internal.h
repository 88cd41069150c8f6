/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_NCCL_INTERNAL_H
#define FSMOE_NCCL_INTERNAL_H

#include "comm/nccl.h"

#include <cuda_runtime.h>
#include <nccl.h>

/* 0, or the failure with its sentence. */
int fsmoe_nccl_check(ncclResult_t result, const char *call);
int fsmoe_nccl_cuda_check(cudaError_t result, const char *call);

extern const struct fsmoe_nccl_window_ops fsmoe_nccl_window_ops; /* nccl_window.c */

#endif
