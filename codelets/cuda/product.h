/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_PRODUCT_H
#define FSMOE_CUDA_PRODUCT_H

#include "codelets/kernels.h"

#include <cublasLt.h>

/*
 * Products of bf16 matrices by cuBLASLt, with a kernel that we prefer and with something done to
 * the result while it is in registers. What was chosen for a shape is kept: asking costs the host
 * more than enqueueing.
 */

/* Row-major: C (m, n) = alpha op(A) op(B) + beta C, `batch` times, the matrices that many elements
 * apart. */
struct fsmoe_product
{
	int trans_a, trans_b;
	int into_float; /* C is float, else bf16 */
	size_t m, n, k;
	const void *a;
	size_t lda, stride_a;
	const void *b;
	size_t ldb, stride_b;
	void *c;
	size_t ldc, stride_c;
	size_t batch;
	float alpha, beta;
	/* c = act(a b + bias), with a b + bias kept in aux; beta must be 0. */
	cublasLtEpilogue_t epilogue; /* CUBLASLT_EPILOGUE_DEFAULT: none */
	const void *bias;            /* (n) of bf16, or NULL */
	size_t bias_stride;
	void *aux; /* as c, or NULL */
	size_t ld_aux, aux_stride;
};

/* Whether it is so large, in every direction, that a kernel of our choice is worth its while. */
static inline int fsmoe_product_large(size_t m, size_t n, size_t k, size_t batch)
{
	const size_t side = 512;

	return m >= side && n >= side && k >= side &&
	       2.0 * (double)m * (double)n * (double)k * (double)batch >= 3e10;
}

/* Choices of one lane, all of whose products may use `workspace`, in device memory. NULL: no
 * memory. */
FSMOE_KERNEL_LINKAGE struct fsmoe_products *fsmoe_products_make(void *workspace, size_t bytes);
FSMOE_KERNEL_LINKAGE void fsmoe_products_free(struct fsmoe_products *products);

/* *done is 0 when cuBLAS has no kernel that fits: nothing was enqueued then. */
FSMOE_KERNEL_LINKAGE int fsmoe_product_enqueue(const struct fsmoe_call *call,
					       const struct fsmoe_cuda *cuda,
					       const struct fsmoe_product *p, int *done);

/* Of the kernel that was chosen for it the number of the tile, as cuBLASLt counts; 0: none was. */
FSMOE_KERNEL_LINKAGE int fsmoe_product_tile(struct fsmoe_products *products,
					    const struct fsmoe_product *p);

#endif
