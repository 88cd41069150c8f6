/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded under compute-sanitizer: the matrix products that fsmoe asks cuBLAS for, one thread an
 * element. With cuBLAS, which has thousands of kernels, nothing was done after 45 s; and a product
 * that is given a wrong address or size goes astray here as well, under the tool's eyes.
 * cuBLASLt never has a kernel, so that products go through cuBLAS.
 */
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

/* As cuBLAS has them: column-major, C (m, n) = alpha op(A) op(B) + beta C. */
struct gemm
{
	bool trans_a, trans_b;
	int m, n, k;
	float alpha, beta;
	const void *a, *b;
	long lda, stride_a, ldb, stride_b;
	void *c;
	long ldc, stride_c;
};

template <class T, class C> static __global__ void multiply(const __grid_constant__ gemm g)
{
	const long at = (long)blockIdx.x * blockDim.x + threadIdx.x, i = at % g.m, j = at / g.m;
	const T *a = static_cast<const T *>(g.a) + blockIdx.y * g.stride_a,
		*b = static_cast<const T *>(g.b) + blockIdx.y * g.stride_b;
	C *c = static_cast<C *>(g.c) + blockIdx.y * g.stride_c + j * g.ldc + i;
	float sum = 0;

	if (j >= g.n)
		return;
	for (long l = 0; l < g.k; l++)
		sum += (float)(g.trans_a ? a[i * g.lda + l] : a[l * g.lda + i]) *
		       (float)(g.trans_b ? b[l * g.ldb + j] : b[j * g.ldb + l]);
	*c = (C)(g.alpha * sum + (g.beta == 0 ? 0.0f : g.beta * (float)*c));
}

/* All that is kept of a handle. */
struct context
{
	cudaStream_t stream;
};

static context *context_of(cublasHandle_t handle)
{
	return reinterpret_cast<context *>(handle);
}

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
	*handle = reinterpret_cast<cublasHandle_t>(new context());
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
	delete context_of(handle);
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
	context_of(handle)->stream = stream;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void *, size_t)
{
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t)
{
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t trans_a,
					  cublasOperation_t trans_b, int m, int n, int k,
					  const void *alpha, const void *a, cudaDataType_t type_a,
					  int lda, long long stride_a, const void *b,
					  cudaDataType_t type_b, int ldb, long long stride_b,
					  const void *beta, void *c, cudaDataType_t type_c, int ldc,
					  long long stride_c, int batch, cublasComputeType_t,
					  cublasGemmAlgo_t)
{
	const gemm g = {trans_a != CUBLAS_OP_N,
			trans_b != CUBLAS_OP_N,
			m,
			n,
			k,
			*static_cast<const float *>(alpha),
			*static_cast<const float *>(beta),
			a,
			b,
			lda,
			stride_a,
			ldb,
			stride_b,
			c,
			ldc,
			stride_c};
	const dim3 grid((unsigned)(((long)m * n + 127) / 128), (unsigned)batch);
	cudaStream_t stream = context_of(handle)->stream;

	if (type_a != type_b)
		return CUBLAS_STATUS_NOT_SUPPORTED;
	if (type_a == CUDA_R_32F && type_c == CUDA_R_32F)
		multiply<float, float><<<grid, 128, 0, stream>>>(g);
	else if (type_a == CUDA_R_16BF && type_c == CUDA_R_32F)
		multiply<__nv_bfloat16, float><<<grid, 128, 0, stream>>>(g);
	else if (type_a == CUDA_R_16BF && type_c == CUDA_R_16BF)
		multiply<__nv_bfloat16, __nv_bfloat16><<<grid, 128, 0, stream>>>(g);
	else
		return CUBLAS_STATUS_NOT_SUPPORTED;
	return cudaGetLastError() == cudaSuccess ? CUBLAS_STATUS_SUCCESS
						 : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t trans_a,
			    cublasOperation_t trans_b, int m, int n, int k, const void *alpha,
			    const void *a, cudaDataType_t type_a, int lda, const void *b,
			    cudaDataType_t type_b, int ldb, const void *beta, void *c,
			    cudaDataType_t type_c, int ldc, cublasComputeType_t compute,
			    cublasGemmAlgo_t algorithm)
{
	return cublasGemmStridedBatchedEx(handle, trans_a, trans_b, m, n, k, alpha, a, type_a, lda,
					  0, b, type_b, ldb, 0, beta, c, type_c, ldc, 0, 1, compute,
					  algorithm);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
					      cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
					      cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
					      cublasLtMatmulPreference_t, int,
					      cublasLtMatmulHeuristicResult_t[], int *found)
{
	*found = 0;
	return CUBLAS_STATUS_NOT_SUPPORTED;
}
}
