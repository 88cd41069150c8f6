/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_PRODUCT_CUH
#define FSMOE_CUDA_PRODUCT_CUH

#include "codelets/cuda/launch.cuh"
#include "codelets/cuda/product.h"

#include <cublas_v2.h>

/* Matrix products, row-major. Small ones, and those of floats, are cuBLAS's to choose for; large
 * ones of bf16 and those with an epilogue go through codelets/cuda/product.c. */

/* C (m, n) = alpha * op(A) op(B) + beta * C, `batch` times, the matrices that many elements apart;
 * sums are float. cuBLAS is column-major: it computes C^T = op(B)^T op(A)^T. */
template <class T, class C = T> struct product
{
	bool trans_a, trans_b;
	size_t m, n, k;
	const T *a;
	size_t lda, stride_a;
	const T *b;
	size_t ldb, stride_b;
	C *c;
	size_t ldc, stride_c;
	size_t batch;
	float alpha, beta;
};

template <class T> struct cuda_type;
template <> struct cuda_type<float>
{
	static constexpr cudaDataType_t value = CUDA_R_32F;
};
template <> struct cuda_type<bf16>
{
	static constexpr cudaDataType_t value = CUDA_R_16BF;
};

template <class C> static inline struct fsmoe_product described(const product<bf16, C> &p)
{
	struct fsmoe_product d = {};

	d.trans_a = p.trans_a;
	d.trans_b = p.trans_b;
	d.into_float = sizeof(C) == sizeof(float);
	d.m = p.m;
	d.n = p.n;
	d.k = p.k;
	d.a = p.a;
	d.lda = p.lda;
	d.stride_a = p.stride_a;
	d.b = p.b;
	d.ldb = p.ldb;
	d.stride_b = p.stride_b;
	d.c = p.c;
	d.ldc = p.ldc;
	d.stride_c = p.stride_c;
	d.batch = p.batch;
	d.alpha = p.alpha;
	d.beta = p.beta;
	d.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
	return d;
}

template <class C>
static inline int multiply_large(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
				 const product<bf16, C> &p, int *done)
{
	*done = 0;
	if (!fsmoe_product_large(p.m, p.n, p.k, p.batch))
		return 0;
	struct fsmoe_product d = described(p);
	return fsmoe_product_enqueue(call, cuda, &d, done);
}

template <class C>
static inline int multiply_large(const struct fsmoe_call *, const struct fsmoe_cuda *,
				 const product<float, C> &, int *done)
{
	*done = 0;
	return 0;
}

template <class T, class C>
static inline int multiply(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			   const product<T, C> &p)
{
	int done, err;

	if (p.m == 0 || p.n == 0 || p.batch == 0)
		return 0;
	err = multiply_large(call, cuda, p, &done);
	if (err || done)
		return err;

	cublasOperation_t op_a = p.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasOperation_t op_b = p.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
	cudaDataType_t in = cuda_type<T>::value, out = cuda_type<C>::value;
	int m = (int)p.m, n = (int)p.n, k = (int)p.k;
	cublasStatus_t status =
		p.batch == 1
			? cublasGemmEx(cuda->cublas, op_b, op_a, n, m, k, &p.alpha, p.b, in,
				       (int)p.ldb, p.a, in, (int)p.lda, &p.beta, p.c, out,
				       (int)p.ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT)
			: cublasGemmStridedBatchedEx(
				  cuda->cublas, op_b, op_a, n, m, k, &p.alpha, p.b, in, (int)p.ldb,
				  (long long)p.stride_b, p.a, in, (int)p.lda, (long long)p.stride_a,
				  &p.beta, p.c, out, (int)p.ldc, (long long)p.stride_c,
				  (int)p.batch, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);

	return status == CUBLAS_STATUS_SUCCESS
		       ? 0
		       : fsmoe_fail(EIO, "cuBLAS failed in '%s' (%zu x %zu x %zu, %zu times): %s",
				    call->node->op->name, p.m, p.n, p.k, p.batch,
				    cublasGetStatusString(status));
}

/* Done to a product's result while it is in registers, which otherwise is a pass over memory:
 * c = act(a b + bias), with a b + bias kept in aux. */
struct epilogue
{
	cublasLtEpilogue_t kind;
	const bf16 *bias; /* (n) */
	size_t bias_stride;
	bf16 *aux; /* as c */
	size_t ld_aux, aux_stride;
};

/* The product with its epilogue; beta must be 0. *done: 0 when cuBLAS has none that fits, and
 * nothing was enqueued. */
static inline int multiply_with(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
				const product<bf16> &p, const epilogue &e, int *done)
{
	struct fsmoe_product d = described(p);

	d.epilogue = e.kind;
	d.bias = e.bias;
	d.bias_stride = e.bias_stride;
	d.aux = e.aux;
	d.ld_aux = e.ld_aux;
	d.aux_stride = e.aux_stride;
	return fsmoe_product_enqueue(call, cuda, &d, done);
}

#endif
