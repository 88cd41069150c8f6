/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASIC_H
#define FSMOE_BASIC_H

#include <fsmoe/op.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The operations that differentiation itself needs. */
extern const struct fsmoe_op fsmoe_op_fill; /* out (...) = value */
extern const struct fsmoe_op fsmoe_op_sum;  /* out (...) = sum of in (...), in the order given */
extern const struct fsmoe_op fsmoe_op_accumulate; /* out (...) += in (...) */

struct fsmoe_fill_args
{
	double value;
};

void fsmoe_accumulate(fsmoe_graph_t graph, fsmoe_tensor_t in, fsmoe_tensor_t out);
void fsmoe_fill_with(fsmoe_graph_t graph, fsmoe_tensor_t out, double value);
fsmoe_tensor_t fsmoe_sum(fsmoe_graph_t graph, const fsmoe_tensor_t *in, int n);

/* Their CUDA kernels are codelets/cuda/basic.cu. */
#ifdef FSMOE_USE_CUDA
int fsmoe_fill_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda);
int fsmoe_sum_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda);
int fsmoe_accumulate_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda);
#define FSMOE_BASIC_CUDA(name) .cuda = fsmoe_##name##_cuda, .cuda_bf16 = fsmoe_##name##_cuda
#else
#define FSMOE_BASIC_CUDA(name) .cuda = NULL
#endif

#ifdef __cplusplus
}
#endif
#endif
