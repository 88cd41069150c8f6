/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_ROUND_H
#define FSMOE_CUDA_ROUND_H

#include <stddef.h>

struct CUstream_st;

#ifdef __cplusplus
extern "C" {
#endif

/* to[i] = from[i] rounded to bf16, both on the device; enqueued. 0, or the failure. */
int fsmoe_cuda_round(const float *from, void *to, size_t n, struct CUstream_st *stream);

#ifdef __cplusplus
}
#endif
#endif
