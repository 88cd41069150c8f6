/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_HOPPER_CUH
#define FSMOE_CUDA_HOPPER_CUH

#include "codelets/cuda/launch.cuh"

#include <cuda.h>
#include <cstdint>

/*
 * Hopper's asynchronous copies (TMA) and matrix products (wgmma) as PTX, and products of tiles made
 * of them. A tile of R rows and D columns of bf16 lies in shared memory as D / 64 boxes of (R, 64):
 * 128 bytes a row, in TMA's 128-byte swizzle, at a multiple of 1024 bytes.
 *
 * The kernels need code for compute_90a; FSMOE_CUDA_HOPPER says that this build has it.
 */

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HOPPER_PTX(...) asm volatile(__VA_ARGS__)
#else
#define HOPPER_PTX(...) __trap()
#endif

static constexpr int WARPGROUP = 128;

static __device__ __forceinline__ uint32_t shared_address(const void *p)
{
	return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

/* --- barriers that count arrivals and bytes ------------------------------------------------- */

struct barrier
{
	uint64_t word;

	__device__ void init(int arrivals)
	{
		HOPPER_PTX("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(this)),
			   "r"(arrivals));
	}
	__device__ void expect(uint32_t bytes)
	{
		HOPPER_PTX("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
				   shared_address(this)),
			   "r"(bytes)
			   : "memory");
	}
	__device__ void arrive()
	{
		HOPPER_PTX("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(this))
			   : "memory");
	}
	/* Waits for the end of the phase of that parity; 1 returns at once on a new barrier. */
	__device__ void wait(int parity)
	{
		HOPPER_PTX("{\n.reg .pred p;\n"
			   "again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
			   "@p bra done;\nbra again;\ndone:\n}" ::"r"(shared_address(this)),
			   "r"(parity)
			   : "memory");
	}
};

/* Makes initialised barriers visible to TMA; then all threads of the block meet. */
static __device__ __forceinline__ void barriers_ready()
{
	HOPPER_PTX("fence.mbarrier_init.release.cluster;" ::);
	__syncthreads();
}

/* --- copies into shared memory --------------------------------------------------------------- */

/* A tile at (column, row) of matrix z of the map, by one thread; rows past the end are zeros. */
template <int R, int D>
static __device__ __forceinline__ void load_tile(void *tile, const CUtensorMap *map, barrier *full,
						 size_t column, int row, int z)
{
#pragma unroll
	for (int box = 0; box < D / 64; box++)
		HOPPER_PTX("cp.async.bulk.tensor.3d.shared::cluster.global"
			   ".mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
				   shared_address(tile) + box * R * 128),
			   "l"(map), "r"(shared_address(full)),
			   "r"(static_cast<int>(column) + 64 * box), "r"(row), "r"(z)
			   : "memory");
}

/* Contiguous bytes, a multiple of 16 at a multiple of 16, by one thread. */
static __device__ __forceinline__ void load_bytes(void *to, const void *from, uint32_t bytes,
						  barrier *full)
{
	HOPPER_PTX("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
		   " [%0], [%1], %2, [%3];" ::"r"(shared_address(to)),
		   "l"(from), "r"(bytes), "r"(shared_address(full))
		   : "memory");
}

/* --- matrix products ------------------------------------------------------------------------- */

template <int REGISTERS> static __device__ __forceinline__ void give_registers()
{
	HOPPER_PTX("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}
template <int REGISTERS> static __device__ __forceinline__ void take_registers()
{
	HOPPER_PTX("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}
static __device__ __forceinline__ void products_begin()
{
	HOPPER_PTX("wgmma.fence.sync.aligned;" ::: "memory");
}
static __device__ __forceinline__ void products_commit()
{
	HOPPER_PTX("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* Waits until at most N committed groups are under way. */
template <int N> static __device__ __forceinline__ void products_wait()
{
	HOPPER_PTX("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
/* The compiler neither moves uses of x over this line nor keeps copies of x. */
template <int N> static __device__ __forceinline__ void pin(float (&x)[N])
{
#pragma unroll
	for (int i = 0; i < N; i++)
		asm volatile("" : "+f"(x[i])::"memory");
}

/* A matrix in shared memory, for wgmma. `boxes`: bytes from a box of 64 columns to the next, where
 * rows are summed over; where columns are, it is not read. Rows go by groups of 8, 1024 bytes. */
static __device__ __forceinline__ uint64_t matrix_at(uint32_t address, uint32_t boxes)
{
	return (uint64_t)((address & 0x3ffff) >> 4) | (uint64_t)(boxes >> 4) << 16 |
	       (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

#define NUMBERS_32                                                                                 \
	"%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, "    \
	"%19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NUMBERS_64                                                                                 \
	NUMBERS_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, " \
		   "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "   \
		   "%62, %63"
#define FLOATS_8(d, i)                                                                             \
	"+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]),                \
		"+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define FLOATS_32(d, i) FLOATS_8(d, i), FLOATS_8(d, i + 8), FLOATS_8(d, i + 16), FLOATS_8(d, i + 24)
#define FLOATS_64(d)    FLOATS_32(d, 0), FLOATS_32(d, 32)

/* acc (64, N) = or += a (64, 16) b (N, 16)^T, both in shared memory. A thread has columns 8 j + 2
 * (lane % 4) and the next of rows lane / 4 and lane / 4 + 8 of its warp's 16: acc[4 j .. 4 j +
 * 3]. */
static __device__ __forceinline__ void multiply_nt(float (&acc)[32], uint64_t a, uint64_t b,
						   int add)
{
	HOPPER_PTX("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
		   "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" NUMBERS_32
		   "}, %32, %33, p, 1, 1, 0, 0;\n}"
		   : FLOATS_32(acc, 0)
		   : "l"(a), "l"(b), "r"(add));
}
static __device__ __forceinline__ void multiply_nt(float (&acc)[64], uint64_t a, uint64_t b,
						   int add)
{
	HOPPER_PTX("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
		   "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" NUMBERS_64
		   "}, %64, %65, p, 1, 1, 0, 0;\n}"
		   : FLOATS_64(acc)
		   : "l"(a), "l"(b), "r"(add));
}

/* acc (64, N) += a (64, 16) in registers, b (16, N) in shared memory. */
static __device__ __forceinline__ void multiply_nn(float (&acc)[32], const uint32_t *a, uint64_t b)
{
	HOPPER_PTX("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" NUMBERS_32
		   "}, {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
		   : FLOATS_32(acc, 0)
		   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
static __device__ __forceinline__ void multiply_nn(float (&acc)[64], const uint32_t *a, uint64_t b)
{
	HOPPER_PTX("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" NUMBERS_64
		   "}, {%64, %65, %66, %67}, %68, 1, 1, 1, 1;"
		   : FLOATS_64(acc)
		   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

/* acc (64, N) = rows `row` .. row + 63 of tile a (RA, D) times tile b (N, D)^T. */
template <int RA, int D, int N2>
static __device__ __forceinline__ void tile_nt(float (&acc)[N2], const void *a, int row,
					       const void *b)
{
	constexpr int N = 2 * N2;
	const uint32_t at_a = shared_address(a) + row * 128, at_b = shared_address(b);

#pragma unroll
	for (int k = 0; k < D / 16; k++)
		multiply_nt(acc, matrix_at(at_a + k / 4 * RA * 128 + k % 4 * 32, 16),
			    matrix_at(at_b + k / 4 * N * 128 + k % 4 * 32, 16), k > 0);
}

/* acc (64, D) += p (64, R) in registers times tile b (R, D). */
template <int R, int D2>
static __device__ __forceinline__ void tile_nn(float (&acc)[D2], const uint32_t (&p)[R / 4],
					       const void *b)
{
	const uint32_t at_b = shared_address(b);

#pragma unroll
	for (int k = 0; k < R / 16; k++)
		multiply_nn(acc, p + 4 * k, matrix_at(at_b + k * 2048, R * 128));
}

static __device__ __forceinline__ uint32_t pair_of(float a, float b)
{
	__nv_bfloat162 pair = __floats2bfloat162_rn(a, b);

	return *reinterpret_cast<uint32_t *>(&pair);
}

/* 2^x; 0 for -infinity. */
static __device__ __forceinline__ float exp2_of(float x)
{
	float y;

	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
	return y;
}

#endif
