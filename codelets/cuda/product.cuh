/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_PRODUCT_CUH
#define FSMOE_CUDA_PRODUCT_CUH

#include "codelets/cuda/launch.cuh"
#include "codelets/cuda/product.h"

/* Matrix products of typed addresses: multiply(call, cuda, product(m, n, k, plain(a, lda),
 * transposed(b, ldb), into(c, ldc))). */

template <class T> struct cuda_type;
template <> struct cuda_type<float>
{
	static constexpr cudaDataType_t value = CUDA_R_32F;
};
template <> struct cuda_type<bf16>
{
	static constexpr cudaDataType_t value = CUDA_R_16BF;
};

template <class T> struct factor
{
	fsmoe_factor is;
};

/* Rows ld apart; with a batch, matrices `stride` apart. */
template <class T> static inline factor<T> plain(const T *x, size_t ld, size_t stride = 0)
{
	return {{x, ld, stride, 0}};
}

/* The transpose of what lies there. */
template <class T> static inline factor<T> transposed(const T *x, size_t ld, size_t stride = 0)
{
	return {{x, ld, stride, 1}};
}

template <class C> struct result
{
	C *x;
	size_t ld, stride;
};

template <class C> static inline result<C> into(C *x, size_t ld, size_t stride = 0)
{
	return {x, ld, stride};
}

/* c (m, n) = alpha a b + beta c, with k columns of a, `batch` times. */
template <class T, class C>
static inline fsmoe_product product(size_t m, size_t n, size_t k, const factor<T> &a,
				    const factor<T> &b, const result<C> &c, size_t batch = 1,
				    float beta = 0, float alpha = 1)
{
	fsmoe_product p = {};

	p.type = cuda_type<T>::value;
	p.into = cuda_type<C>::value;
	p.m = m;
	p.n = n;
	p.k = k;
	p.a = a.is;
	p.b = b.is;
	p.c = c.x;
	p.ldc = c.ld;
	p.stride_c = c.stride;
	p.batch = batch;
	p.alpha = alpha;
	p.beta = beta;
	p.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
	return p;
}

static inline int multiply(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			   const fsmoe_product &p)
{
	return fsmoe_multiply(call, cuda, &p);
}

#endif
