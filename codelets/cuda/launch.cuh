/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_LAUNCH_CUH
#define FSMOE_CUDA_LAUNCH_CUH

/*
 * Shared by the files of codelets/cuda: launching, elementwise loops, faults.
 * A file holds kernels that know pointers and sizes, and extern "C" functions, declared by the
 * operation's header, that unpack a call and enqueue. Nothing here waits or allocates.
 */

#include "codelets/cuda/fault.h"
#include "codelets/kernels.h"
#include "codelets/shape.h"
#include "graph/fresh.h"
#include "graph/memory.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <errno.h>
#include <fsmoe/error.h>

#define FULL_WARP 0xffffffffu

/*
 * Element type T of FSMOE_REAL tensors: float or bf16. All arithmetic with them is float.
 * The two kernels of an operation are one function, instantiated twice.
 */
typedef __nv_bfloat16 bf16;

#define CUDA_KERNELS(name, function)                                                               \
	extern "C" int fsmoe_##name##_cuda(const struct fsmoe_call *call,                          \
					   const struct fsmoe_cuda *cuda)                          \
	{                                                                                          \
		return function<float>(call, cuda);                                                \
	}                                                                                          \
	extern "C" int fsmoe_##name##_bf16(const struct fsmoe_call *call,                          \
					   const struct fsmoe_cuda *cuda)                          \
	{                                                                                          \
		return function<bf16>(call, cuda);                                                 \
	}

/* For a function that only counts bytes of scratch memory. */
#define CUDA_SCRATCH(name, function)                                                               \
	extern "C" size_t fsmoe_##name##_cuda_scratch(const struct fsmoe_call *call)               \
	{                                                                                          \
		return call->real == FSMOE_BF16 ? function<bf16>(call) : function<float>(call);    \
	}

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

/* The factor of what a sum holds before a product is added: 0 where it is known to be zero. */
static inline float kept(const struct fsmoe_call *call, size_t i)
{
	return call->fresh && call->fresh->access && call->fresh->access[i] ? 0 : 1;
}

/* For a port that takes either. */
static inline bool holds_bf16(const struct fsmoe_call *call, size_t i)
{
	return call->tensor[i]->dtype != FSMOE_INT32 &&
	       fsmoe_tensor_real(call->real, call->tensor[i]) == FSMOE_BF16;
}

/* A parameter's copy; NULL: it has none. */
static inline bf16 *copy_of(const struct fsmoe_call *call, size_t i)
{
	return call->copy ? static_cast<bf16 *>(call->copy[i]) : nullptr;
}

/* A weight that matrix products read: in a bf16 run the copy. */
template <class T> static inline const T *weight_of(const struct fsmoe_call *call, size_t i)
{
	const void *copy = sizeof(T) < sizeof(float) ? copy_of(call, i) : nullptr;

	return static_cast<const T *>(copy ? copy : call->data[i]);
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

/* --- elementwise loops -------------------------------------------------------------------- */

/* Eight elements at once where addresses and counts allow, else one; floats once they are read. */
static constexpr int WIDE = 8;

template <int V> struct __align__(V < 4 ? 4 * V : 16) pack
{
	float v[V];
};
template <int V> struct __align__(2 * V) half_pack
{
	bf16 v[V];
};

template <int V> static __device__ __forceinline__ pack<V> load(const float *p)
{
	return *reinterpret_cast<const pack<V> *>(p);
}

template <int V> static __device__ __forceinline__ pack<V> load(const bf16 *p)
{
	half_pack<V> h = *reinterpret_cast<const half_pack<V> *>(p);
	pack<V> x;

	for (int j = 0; j < V; j++)
		x.v[j] = __bfloat162float(h.v[j]);
	return x;
}

template <int V> static __device__ __forceinline__ void store(float *p, const pack<V> &x)
{
	*reinterpret_cast<pack<V> *>(p) = x;
}

template <int V> static __device__ __forceinline__ void store(bf16 *p, const pack<V> &x)
{
	half_pack<V> h;

	for (int j = 0; j < V; j++)
		h.v[j] = __float2bfloat16_rn(x.v[j]);
	*reinterpret_cast<half_pack<V> *>(p) = h;
}

/* One element. */
static __device__ __forceinline__ float get(float x)
{
	return x;
}

static __device__ __forceinline__ float get(bf16 x)
{
	return __bfloat162float(x);
}

static __device__ __forceinline__ void put(float *p, float x)
{
	*p = x;
}

static __device__ __forceinline__ void put(bf16 *p, float x)
{
	*p = __float2bfloat16_rn(x);
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
 * divides by is a multiple of WIDE. */
template <class F>
static inline int map(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const F &f,
		      size_t n, bool wide)
{
	if (n == 0)
		return 0;
	if (wide && n % WIDE == 0)
		map_kernel<WIDE><<<blocks_for(n / WIDE, 256), 256, 0, cuda->stream>>>(f, n);
	else
		map_kernel<1><<<blocks_for(n, 256), 256, 0, cuda->stream>>>(f, n);
	return launched(call);
}

/* --- floats as factors ---------------------------------------------------------------------- */

/* A product takes two factors of one type: in a bf16 run one that is float is rounded into scratch
 * first. narrowing: elements of scratch that access i needs for that. */

struct rounded
{
	const float *from;
	bf16 *to;

	template <int V> __device__ void run(size_t i) const
	{
		store<V>(to + i, load<V>(from + i));
	}
};

template <class X> static inline size_t narrowing(const struct fsmoe_call *call, size_t i)
{
	return sizeof(X) < sizeof(float) && !holds_bf16(call, i) ? fsmoe_count(call->tensor[i]) : 0;
}

static inline int narrowed(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, size_t i,
			   scratch *, const float **x)
{
	(void)cuda;
	*x = data_of<const float>(call, i);
	return 0;
}

static inline int narrowed(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, size_t i,
			   scratch *s, const bf16 **x)
{
	size_t n = narrowing<bf16>(call, i);

	*x = data_of<const bf16>(call, i);
	if (n == 0)
		return 0;
	rounded f = {data_of<const float>(call, i), s->take<bf16>(n)};
	*x = f.to;
	return map(call, cuda, f, n, aligned(f.from, f.to));
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
	size_t packs = wide && columns % WIDE == 0 ? columns / WIDE : columns;
	unsigned x = 1;

	if (rows == 0 || columns == 0)
		return 0;
	while (x < packs && x < 256)
		x *= 2;
	dim3 block(x, 256 / x), grid(blocks_for(rows, 256 / x));
	if (wide && columns % WIDE == 0)
		map_rows_kernel<WIDE><<<grid, block, 0, cuda->stream>>>(f, rows, columns);
	else
		map_rows_kernel<1><<<grid, block, 0, cuda->stream>>>(f, rows, columns);
	return launched(call);
}

#endif
