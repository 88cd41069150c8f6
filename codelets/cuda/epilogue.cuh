/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_EPILOGUE_CUH
#define FSMOE_CUDA_EPILOGUE_CUH

#include "codelets/cuda/launch.cuh"

#include <cublasLt.h>

/*
 * Products of bf16 that do to their result, while it is still in registers, what otherwise is a
 * pass over memory: c = act(a b + bias), with a b + bias kept in aux.
 */
struct epilogue
{
	cublasLtEpilogue_t kind;
	const bf16 *bias; /* (n) */
	size_t bias_stride;
	bf16 *aux; /* as c */
	size_t ld_aux, aux_stride;
};

/* Of the lane's scratch, for cuBLAS to work in. */
static constexpr size_t EPILOGUE_WORKSPACE = 32u << 20;

/* What a call of cuBLASLt is described by; freed when it goes. */
struct lt_call
{
	cublasLtMatmulDesc_t what = nullptr;
	cublasLtMatrixLayout_t layout[3] = {}; /* a, b, c as cuBLAS calls them */
	cublasLtMatmulPreference_t preference = nullptr;
	cublasStatus_t status = CUBLAS_STATUS_SUCCESS;

	~lt_call()
	{
		if (what)
			cublasLtMatmulDescDestroy(what);
		for (cublasLtMatrixLayout_t l : layout)
			if (l)
				cublasLtMatrixLayoutDestroy(l);
		if (preference)
			cublasLtMatmulPreferenceDestroy(preference);
	}
	void keep(cublasStatus_t s)
	{
		status = status == CUBLAS_STATUS_SUCCESS ? s : status;
	}
	template <class V> void set(cublasLtMatmulDescAttributes_t attribute, V value)
	{
		keep(cublasLtMatmulDescSetAttribute(what, attribute, &value, sizeof(value)));
	}
	void matrix(int i, size_t rows, size_t columns, size_t ld, size_t stride, size_t batch)
	{
		int32_t count = (int32_t)batch;
		int64_t apart = (int64_t)stride;

		keep(cublasLtMatrixLayoutCreate(&layout[i], CUDA_R_16BF, rows, columns,
						(int64_t)ld));
		if (status != CUBLAS_STATUS_SUCCESS || batch == 1)
			return;
		keep(cublasLtMatrixLayoutSetAttribute(layout[i], CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
						      &count, sizeof(count)));
		keep(cublasLtMatrixLayoutSetAttribute(layout[i],
						      CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
						      &apart, sizeof(apart)));
	}
};

static inline void describe(lt_call &lt, const product<bf16> &p, const epilogue &e)
{
	lt.keep(cublasLtMatmulDescCreate(&lt.what, CUBLAS_COMPUTE_32F, CUDA_R_32F));
	if (lt.status != CUBLAS_STATUS_SUCCESS)
		return;
	lt.set(CUBLASLT_MATMUL_DESC_TRANSA, p.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N);
	lt.set(CUBLASLT_MATMUL_DESC_TRANSB, p.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N);
	lt.set(CUBLASLT_MATMUL_DESC_EPILOGUE, e.kind);
	if (e.bias)
	{
		lt.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, e.bias);
		lt.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF);
		lt.set(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, (int64_t)e.bias_stride);
	}
	if (e.aux)
	{
		lt.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, e.aux);
		lt.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, (int64_t)e.ld_aux);
		lt.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, (int64_t)e.aux_stride);
	}
	lt.matrix(0, p.trans_b ? p.k : p.n, p.trans_b ? p.n : p.k, p.ldb, p.stride_b, p.batch);
	lt.matrix(1, p.trans_a ? p.m : p.k, p.trans_a ? p.k : p.m, p.lda, p.stride_a, p.batch);
	lt.matrix(2, p.n, p.m, p.ldc, p.stride_c, p.batch);
}

/* The product with its epilogue; beta must be 0. *done: 0 when cuBLAS has none that fits, and
 * nothing was enqueued. */
static inline int multiply_with(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
				const product<bf16> &p, const epilogue &e, void *workspace,
				bool *done)
{
	cublasLtHandle_t handle = reinterpret_cast<cublasLtHandle_t>(cuda->cublas);
	cublasLtMatmulHeuristicResult_t best;
	size_t room = EPILOGUE_WORKSPACE;
	int found = 0;
	lt_call lt;

	*done = false;
	describe(lt, p, e);
	lt.keep(cublasLtMatmulPreferenceCreate(&lt.preference));
	if (lt.status != CUBLAS_STATUS_SUCCESS)
		return 0;
	lt.keep(cublasLtMatmulPreferenceSetAttribute(
		lt.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof(room)));
	if (lt.status != CUBLAS_STATUS_SUCCESS ||
	    cublasLtMatmulAlgoGetHeuristic(handle, lt.what, lt.layout[0], lt.layout[1],
					   lt.layout[2], lt.layout[2], lt.preference, 1, &best,
					   &found) != CUBLAS_STATUS_SUCCESS ||
	    found == 0)
		return 0;
	lt.keep(cublasLtMatmul(handle, lt.what, &p.alpha, p.b, lt.layout[0], p.a, lt.layout[1],
			       &p.beta, p.c, lt.layout[2], p.c, lt.layout[2], &best.algo, workspace,
			       room, cuda->stream));
	*done = lt.status == CUBLAS_STATUS_SUCCESS;
	return *done ? 0
		     : fsmoe_fail(EIO, "cuBLASLt failed in '%s' (%zu x %zu x %zu, %zu times): %s",
				  call->node->op->name, p.m, p.n, p.k, p.batch,
				  cublasGetStatusString(lt.status));
}

#endif
