/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_ATTENTION_FUSED_CUH
#define FSMOE_CUDA_ATTENTION_FUSED_CUH

#include "codelets/attention.h"
#include "codelets/cuda/hopper.cuh"

/*
 * Attention in one kernel a pass, which leaves no square in memory (Dao et al. 2022; Shah et al.
 * 2024 for Hopper's instructions): bf16, heads of 64 or 128, rows of a sequence one after another.
 * Sums go in one order, so every run leaves the same bits: the backward has a kernel that sums over
 * queries and one that sums over keys, and no atomics.
 */

/* Tells whether these sizes and the current device have such a kernel. */
bool fused_attention_fits(const struct fsmoe_attention_args *a);

/* Enqueues the forward. qkv (B S, 3 HD), y (B S, HD), stats (B H S, 2) or NULL. 0 or -EIO. */
int fused_attention_forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			    const bf16 *qkv, bf16 *y, float2 *stats);

/* The backward's scratch memory. */
struct fused_backward
{
	bf16 *y;      /* the forward's output, which is computed again */
	float4 *rows; /* (B H, S rounded up to FUSED_ROWS): see row_numbers() */
};
static constexpr size_t FUSED_ROWS = 128;
struct fused_backward fused_backward_of(const struct fsmoe_attention_args *a, scratch *s);
int fused_attention_backward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			     const struct fused_backward &room, const bf16 *qkv,
			     const float2 *stats, const bf16 *dy, bf16 *dqkv);

/* The kernels' sizes. */
struct fused_shape
{
	int S;
	size_t H, HD;
	float scale, scale2; /* of scores; for powers of two */

	explicit fused_shape(const struct fsmoe_attention_args *a)
	    : S(static_cast<int>(a->seq)), H(a->heads), HD(a->heads * a->head_dim),
	      scale(1 / sqrtf(static_cast<float>(a->head_dim))), scale2(scale * LOG2_E)
	{
	}
	static constexpr float LOG2_E = 1.4426950408889634f;
	__device__ size_t row(int b, int s) const /* of (B, S) */
	{
		return static_cast<size_t>(b) * S + s;
	}
};

/* Describes (batch, seq, columns) for TMA, in tiles of `rows` rows. 0 or -EIO. */
int fused_map(CUtensorMap *map, const struct fsmoe_call *call, const bf16 *from,
	      const struct fsmoe_attention_args *a, size_t columns, unsigned rows);

/* Blocks of 128 rows, of which the longest causal ones come first. */
static inline dim3 fused_grid(const struct fsmoe_attention_args *a)
{
	return dim3(static_cast<unsigned>((a->seq + FUSED_ROWS - 1) / FUSED_ROWS),
		    static_cast<unsigned>(a->heads), static_cast<unsigned>(a->batch));
}

/* One warpgroup loads, two compute. */
static constexpr unsigned FUSED_THREADS = 3 * WARPGROUP;

/* A block of shared memory at a multiple of 1024 bytes. */
template <class M> static __device__ __forceinline__ M &fused_memory()
{
	extern __shared__ char bytes[];

	return *reinterpret_cast<M *>((reinterpret_cast<uintptr_t>(bytes) + 1023) &
				      ~static_cast<uintptr_t>(1023));
}
template <class M> static constexpr size_t fused_bytes()
{
	return sizeof(M) + 1024;
}

/* Lets a kernel have so much shared memory. 0 or -EIO. */
template <class K>
static inline int fused_allow(const struct fsmoe_call *call, K *kernel, size_t bytes)
{
	const cudaError_t err = cudaFuncSetAttribute(
		kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));

	return err == cudaSuccess
		       ? 0
		       : fsmoe_fail(EIO, "CUDA gives '%s' no %zu bytes of shared memory: %s",
				    call->node->op->name, bytes, cudaGetErrorString(err));
}

/* A thread of a computing warpgroup, and its numbers of a (64, N) product. */
struct fused_thread
{
	int group, lane, row; /* row and row + 8 of the block's 128 */

	__device__ fused_thread()
	    : group(static_cast<int>(threadIdx.x) / WARPGROUP - 1),
	      lane(static_cast<int>(threadIdx.x) % 32),
	      row(64 * group + static_cast<int>(threadIdx.x) % WARPGROUP / 32 * 16 + lane / 4)
	{
	}
	__device__ bool speaks() const /* for its warpgroup */
	{
		return threadIdx.x % WARPGROUP == 0;
	}
	/* Number i of a product is in this column. */
	__device__ int column(int i) const
	{
		return 8 * (i / 4) + 2 * (lane % 4) + i % 2;
	}
	/* ... and in row + this. */
	static __device__ __forceinline__ int below(int i)
	{
		return i / 2 % 2 * 8;
	}
};

#endif
