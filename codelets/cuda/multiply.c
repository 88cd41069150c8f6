/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/product.h"

#include <cublas_v2.h>
#include <errno.h>
#include <fsmoe/error.h>

/* A product as cuBLAS chooses. It is column-major: it computes C^T = op(B)^T op(A)^T. */
static cublasStatus_t by_default(cublasHandle_t cublas, const struct fsmoe_product *p)
{
	const cublasOperation_t op_a = p->a.trans ? CUBLAS_OP_T : CUBLAS_OP_N;
	const cublasOperation_t op_b = p->b.trans ? CUBLAS_OP_T : CUBLAS_OP_N;
	const int m = (int)p->m, n = (int)p->n, k = (int)p->k;
	const int lda = (int)p->a.ld, ldb = (int)p->b.ld, ldc = (int)p->ldc;

	if (p->batch == 1)
		return cublasGemmEx(cublas, op_b, op_a, n, m, k, &p->alpha, p->b.x, p->type, ldb,
				    p->a.x, p->type, lda, &p->beta, p->c, p->into, ldc,
				    CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
	return cublasGemmStridedBatchedEx(cublas, op_b, op_a, n, m, k, &p->alpha, p->b.x, p->type,
					  ldb, (long long)p->b.stride, p->a.x, p->type, lda,
					  (long long)p->a.stride, &p->beta, p->c, p->into, ldc,
					  (long long)p->stride_c, (int)p->batch, CUBLAS_COMPUTE_32F,
					  CUBLAS_GEMM_DEFAULT);
}

/* So large in every direction, and of bf16, that a kernel of our choice is worth its while. */
static int large(const struct fsmoe_product *p)
{
	const size_t side = 512;

	return p->type == CUDA_R_16BF && p->m >= side && p->n >= side && p->k >= side &&
	       2.0 * (double)p->m * (double)p->n * (double)p->k * (double)p->batch >= 3e10;
}

int fsmoe_multiply(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		   const struct fsmoe_product *p)
{
	int done = 0, err = 0;
	cublasStatus_t status;

	if (p->m == 0 || p->n == 0 || p->batch == 0)
		return 0;
	if (large(p))
		err = fsmoe_product_enqueue(call, cuda, p, &done);
	if (err || done)
		return err;
	status = by_default(cuda->cublas, p);
	return status == CUBLAS_STATUS_SUCCESS
		       ? 0
		       : fsmoe_fail(EIO, "cuBLAS failed in '%s' (%zu x %zu x %zu, %zu times): %s",
				    call->node->op->name, p->m, p->n, p->k, p->batch,
				    cublasGetStatusString(status));
}
