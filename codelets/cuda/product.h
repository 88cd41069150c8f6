/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_PRODUCT_H
#define FSMOE_CUDA_PRODUCT_H

#include "codelets/kernels.h"

#include <cublasLt.h>

/* Matrix products, row-major, as cuBLAS chooses or, where it pays, with a kernel that we prefer. */

struct fsmoe_factor
{
	const void *x;
	size_t ld, stride; /* elements from row to row, and from matrix to matrix of a batch */
	int trans;         /* it is the transpose of what lies at x */
};

/* c (m, n) = alpha a b + beta c, with k columns of a, `batch` times; sums are float. */
struct fsmoe_product
{
	cudaDataType_t type, into; /* of both factors, of c: CUDA_R_32F or CUDA_R_16BF */
	size_t m, n, k;
	struct fsmoe_factor a, b;
	void *c;
	size_t ldc, stride_c;
	size_t batch;
	float alpha, beta;
	/* Done while the result is in registers, which otherwise is a pass over memory: c = act(a b
	 * + bias), with a b + bias kept in aux; of bf16 alone, beta must be 0, and enqueued by
	 * fsmoe_product_enqueue. CUBLASLT_EPILOGUE_DEFAULT: none. */
	cublasLtEpilogue_t epilogue;
	const void *bias; /* (n) of bf16, or NULL */
	size_t bias_stride;
	void *aux; /* as c, or NULL */
	size_t ld_aux, aux_stride;
};

FSMOE_KERNEL_LINKAGE int fsmoe_multiply(const struct fsmoe_call *call,
					const struct fsmoe_cuda *cuda,
					const struct fsmoe_product *p);

/* --- products of bf16 by cuBLASLt ------------------------------------------------------------ */

/* The choice for a shape is kept: asking cuBLASLt costs the host more than enqueueing. */

/* Choices of one lane, all of whose products may use `workspace`, in device memory. NULL: no
 * memory. */
FSMOE_KERNEL_LINKAGE struct fsmoe_products *fsmoe_products_make(void *workspace, size_t bytes);
FSMOE_KERNEL_LINKAGE void fsmoe_products_free(struct fsmoe_products *products);

/* *done is 0 when cuBLAS has no kernel that fits: nothing was enqueued then. */
FSMOE_KERNEL_LINKAGE int fsmoe_product_enqueue(const struct fsmoe_call *call,
					       const struct fsmoe_cuda *cuda,
					       const struct fsmoe_product *p, int *done);

/* Tile of the chosen kernel, by cuBLASLt's numbers; 0: none was chosen. */
FSMOE_KERNEL_LINKAGE int fsmoe_product_tile(struct fsmoe_products *products,
					    const struct fsmoe_product *p);

#endif
