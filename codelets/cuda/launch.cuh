/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_LAUNCH_CUH
#define FSMOE_CUDA_LAUNCH_CUH

/*
 * What the files of codelets/cuda share: launching, matrix products, elementwise loops, faults.
 * A file holds kernels that know pointers and sizes, and extern "C" functions, declared by the
 * operation's header, that unpack a call and enqueue. Nothing here waits or allocates.
 */

#include "codelets/cuda/fault.h"
#include "codelets/kernels.h"
#include "codelets/shape.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <errno.h>
#include <fsmoe/error.h>

#define FULL_WARP 0xffffffffu

/* Blocks of an elementwise or row kernel at most; loops stride over the rest. */
static constexpr unsigned MAX_BLOCKS = 1u << 20;

static inline unsigned blocks_for(size_t items, size_t per_block)
{
	size_t n = (items + per_block - 1) / per_block;

	return n < MAX_BLOCKS ? (unsigned)n : MAX_BLOCKS;
}

/* After a launch: a bad configuration, or an earlier failure of the device. */
static inline int launched(const struct fsmoe_call *call)
{
	cudaError_t err = cudaGetLastError();

	return err == cudaSuccess ? 0
				  : fsmoe_fail(EIO, "CUDA could not launch '%s': %s",
					       call->node->op->name, cudaGetErrorString(err));
}

static inline int enqueued(const struct fsmoe_call *call, cudaError_t err)
{
	return err == cudaSuccess ? 0
				  : fsmoe_fail(EIO, "CUDA could not enqueue a copy of '%s': %s",
					       call->node->op->name, cudaGetErrorString(err));
}

/* Typed addresses of a call. */
template <class T> static inline T *data_of(const struct fsmoe_call *call, size_t i)
{
	return static_cast<T *>(call->data[i]);
}

/* --- faults ------------------------------------------------------------------------------- */

/* A node's own handle on the fault record. The first fault stays. */
struct fault_to
{
	struct fsmoe_cuda_fault *fault;
	int node;

	__device__ void set(int code, long long index, long long value, double real) const
	{
		if (atomicCAS(&fault->code, FSMOE_FAULT_NONE, code) != FSMOE_FAULT_NONE)
			return;
		fault->node = node;
		fault->index = index;
		fault->value = value;
		fault->real = real;
	}
};

static inline fault_to fault_of(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return fault_to{cuda->fault, call->node->id};
}

/* --- scratch ------------------------------------------------------------------------------ */

/* Pieces of the scratch memory, each aligned to 256 bytes. With no base it only counts. */
struct scratch
{
	char *base;
	size_t used;

	template <class T> T *take(size_t n)
	{
		size_t at = used;
		used += (n * sizeof(T) + 255) / 256 * 256;
		return base ? reinterpret_cast<T *>(base + at) : nullptr;
	}
};

static inline scratch scratch_of(const struct fsmoe_cuda *cuda)
{
	return scratch{cuda ? static_cast<char *>(cuda->scratch) : nullptr, 0};
}

/* --- matrix products, row-major ----------------------------------------------------------- */

/* C (m, n) = alpha * op(A) op(B) + beta * C, `batch` times, the matrices that many elements apart.
 * cuBLAS is column-major: it computes C^T = op(B)^T op(A)^T. */
struct product
{
	bool trans_a, trans_b;
	size_t m, n, k;
	const float *a;
	size_t lda, stride_a;
	const float *b;
	size_t ldb, stride_b;
	float *c;
	size_t ldc, stride_c;
	size_t batch;
	float alpha, beta;
};

static inline int multiply(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			   const product &p)
{
	if (p.m == 0 || p.n == 0 || p.batch == 0)
		return 0;

	cublasOperation_t op_a = p.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasOperation_t op_b = p.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
	int m = (int)p.m, n = (int)p.n, k = (int)p.k;
	cublasStatus_t status =
		p.batch == 1
			? cublasSgemm(cuda->cublas, op_b, op_a, n, m, k, &p.alpha, p.b, (int)p.ldb,
				      p.a, (int)p.lda, &p.beta, p.c, (int)p.ldc)
			: cublasSgemmStridedBatched(
				  cuda->cublas, op_b, op_a, n, m, k, &p.alpha, p.b, (int)p.ldb,
				  (long long)p.stride_b, p.a, (int)p.lda, (long long)p.stride_a,
				  &p.beta, p.c, (int)p.ldc, (long long)p.stride_c, (int)p.batch);

	return status == CUBLAS_STATUS_SUCCESS
		       ? 0
		       : fsmoe_fail(EIO, "cuBLAS failed in '%s' (%zu x %zu x %zu, %zu times): %s",
				    call->node->op->name, p.m, p.n, p.k, p.batch,
				    cublasGetStatusString(status));
}

/* --- elementwise loops -------------------------------------------------------------------- */

/* Four floats at once where addresses and counts allow, else one. */
template <int V> struct pack;
template <> struct __align__(4) pack<1>
{
	float v[1];
};
template <> struct __align__(16) pack<4>
{
	float v[4];
};

template <int V> static __device__ __forceinline__ pack<V> load(const float *p)
{
	return *reinterpret_cast<const pack<V> *>(p);
}

template <int V> static __device__ __forceinline__ void store(float *p, const pack<V> &x)
{
	*reinterpret_cast<pack<V> *>(p) = x;
}

static inline bool aligned(const void *p)
{
	return reinterpret_cast<size_t>(p) % 16 == 0;
}

template <class... Rest> static inline bool aligned(const void *p, Rest... rest)
{
	return aligned(p) && aligned(rest...);
}

template <int V, class F> static __global__ void map_kernel(const __grid_constant__ F f, size_t n)
{
	size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;

	for (; i < n; i += (size_t)gridDim.x * blockDim.x * V)
		f.template run<V>(i);
}

/* f.run<V>(i) for i = 0, V, 2 V, ... < n. `wide`: all addresses are aligned and whatever length f
 * divides by is a multiple of four. */
template <class F>
static inline int map(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const F &f,
		      size_t n, bool wide)
{
	if (n == 0)
		return 0;
	if (wide && n % 4 == 0)
		map_kernel<4><<<blocks_for(n / 4, 256), 256, 0, cuda->stream>>>(f, n);
	else
		map_kernel<1><<<blocks_for(n, 256), 256, 0, cuda->stream>>>(f, n);
	return launched(call);
}

/* --- loops over the rows of a matrix -------------------------------------------------------- */

template <int V, class F>
static __global__ void map_rows_kernel(const __grid_constant__ F f, size_t rows, size_t columns)
{
	size_t row = (size_t)blockIdx.x * blockDim.y + threadIdx.y;

	for (; row < rows; row += (size_t)gridDim.x * blockDim.y)
		for (size_t column = threadIdx.x * V; column < columns; column += blockDim.x * V)
			f.template run<V>(row, column);
}

/* f.run<V>(row, column) for column = 0, V, 2 V, ...: no division to find the row. */
template <class F>
static inline int map_rows(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const F &f,
			   size_t rows, size_t columns, bool wide)
{
	size_t packs = wide && columns % 4 == 0 ? columns / 4 : columns;
	unsigned x = 1;

	if (rows == 0 || columns == 0)
		return 0;
	while (x < packs && x < 256)
		x *= 2;
	dim3 block(x, 256 / x), grid(blocks_for(rows, 256 / x));
	if (wide && columns % 4 == 0)
		map_rows_kernel<4><<<grid, block, 0, cuda->stream>>>(f, rows, columns);
	else
		map_rows_kernel<1><<<grid, block, 0, cuda->stream>>>(f, rows, columns);
	return launched(call);
}

#endif
