/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_KERNEL_REAL_H
#define FSMOE_KERNEL_REAL_H

/*
 * Every file of codelets/cpu is compiled twice, with `real` as float and as double; KERNEL(name)
 * gives each its own symbol. A file holds static functions that know pointers and sizes, and a
 * KERNEL(...) that unpacks a call.
 */

#include <cblas.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <tgmath.h>

#if FSMOE_KERNEL_REAL == 32
typedef float real;
#define KERNEL(name) fsmoe_##name##_f32
#define KERNEL_REAL  FSMOE_F32
#define cblas_gemm   cblas_sgemm
#else
typedef double real;
#define KERNEL(name) fsmoe_##name##_f64
#define KERNEL_REAL  FSMOE_F64
#define cblas_gemm   cblas_dgemm
#endif

/* C (m, n) = alpha * op(A) op(B) + beta * C, row-major, with leading dimensions. */
static inline void gemm(int trans_a, int trans_b, size_t m, size_t n, size_t k, real alpha,
			const real *a, size_t lda, const real *b, size_t ldb, real beta, real *c,
			size_t ldc)
{
	if (m == 0 || n == 0)
		return;
	cblas_gemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans,
		   trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, alpha, a, (int)lda,
		   b, (int)ldb, beta, c, (int)ldc);
}

#endif
