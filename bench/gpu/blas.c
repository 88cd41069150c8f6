/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix products that fsmoe asks CBLAS for, for a machine without a BLAS: OpenBLAS alone would
 * fill the bundle. Right and not very slow; the GPU is what is measured there.
 */
#include <string.h>

void openblas_set_num_threads(int n);
void openblas_set_num_threads(int n)
{
	(void)n;
}

const char *openblas_get_config(void);
const char *openblas_get_config(void)
{
	return "fsmoe bench/gpu/blas.c, one thread";
}

/* Row-major alone: order 101; transposed: 112. */
#define GEMM(real, name)                                                                           \
	void name(int order, int ta, int tb, int m, int n, int k, real alpha, const real *a,       \
		  int lda, const real *b, int ldb, real beta, real *c, int ldc);                   \
	void name(int order, int ta, int tb, int m, int n, int k, real alpha, const real *a,       \
		  int lda, const real *b, int ldb, real beta, real *c, int ldc)                    \
	{                                                                                          \
		(void)order;                                                                       \
		for (int i = 0; i < m; i++)                                                        \
		{                                                                                  \
			real *row = c + (long)i * ldc;                                             \
			if (beta == 0)                                                             \
				memset(row, 0, (unsigned long)n * sizeof(*row));                   \
			for (int j = 0; beta != 0 && j < n; j++)                                   \
				row[j] *= beta;                                                    \
			if (tb != 112)                                                             \
			{                                                                          \
				for (int l = 0; l < k; l++)                                        \
				{                                                                  \
					real x = alpha * (ta == 112 ? a[(long)l * lda + i]         \
								    : a[(long)i * lda + l]);       \
					const real *y = b + (long)l * ldb;                         \
					for (int j = 0; j < n; j++)                                \
						row[j] += x * y[j];                                \
				}                                                                  \
				continue;                                                          \
			}                                                                          \
			for (int j = 0; j < n; j++)                                                \
			{                                                                          \
				const real *y = b + (long)j * ldb;                                 \
				real sum[8] = {0};                                                 \
				int l = 0;                                                         \
				for (; ta != 112 && l + 8 <= k; l += 8)                            \
					for (int q = 0; q < 8; q++)                                \
						sum[q] += a[(long)i * lda + l + q] * y[l + q];     \
				for (; l < k; l++)                                                 \
					sum[0] += (ta == 112 ? a[(long)l * lda + i]                \
							     : a[(long)i * lda + l]) *             \
						  y[l];                                            \
				for (int q = 1; q < 8; q++)                                        \
					sum[0] += sum[q];                                          \
				row[j] += alpha * sum[0];                                          \
			}                                                                          \
		}                                                                                  \
	}

GEMM(float, cblas_sgemm)
GEMM(double, cblas_dgemm)
