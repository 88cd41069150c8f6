/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/attention_fused.cuh"

#include <limits.h>

/* --- forward: a block has 128 queries and walks over its keys, the last first ---------------- */

template <int D> struct forward_memory
{
	static constexpr int ROWS = 128, KEYS = 128, STAGES = 2;
	alignas(1024) char q[ROWS * D * 2];
	alignas(1024) char k[STAGES][KEYS * D * 2];
	alignas(1024) char v[STAGES][KEYS * D * 2];
	barrier has_q, has_k[STAGES], has_v[STAGES], free_k[STAGES], free_v[STAGES];
};

template <int D>
static __device__ void load_keys(forward_memory<D> &m, const CUtensorMap *map, const fused_shape &s,
				 int first, int n)
{
	using M = forward_memory<D>;
	const size_t head = blockIdx.y * D;
	const int b = static_cast<int>(blockIdx.z);

	m.has_q.expect(sizeof(m.q));
	load_tile<M::ROWS, D>(m.q, map, &m.has_q, head, first, b);
	for (int i = 0; i < n; i++)
	{
		const int stage = i % M::STAGES, phase = i / M::STAGES % 2;
		const int key = (n - 1 - i) * M::KEYS;

		m.free_k[stage].wait(phase ^ 1);
		m.has_k[stage].expect(sizeof(m.k[stage]));
		load_tile<M::KEYS, D>(m.k[stage], map, &m.has_k[stage], s.HD + head, key, b);
		m.free_v[stage].wait(phase ^ 1);
		m.has_v[stage].expect(sizeof(m.v[stage]));
		load_tile<M::KEYS, D>(m.v[stage], map, &m.has_v[stage], 2 * s.HD + head, key, b);
	}
}

/* Two rows of scores as they come by: the largest so far, and the sum of powers over it. */
struct running_softmax
{
	float most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};

	/* Scores become powers; `shrink`: by what the rows' earlier sums are multiplied. */
	template <int N>
	__device__ __forceinline__ void take(float (&score)[N], float scale2, float (&shrink)[2])
	{
#pragma unroll
		for (int r = 0; r < 2; r++)
		{
			float top = most[r], here = 0;
#pragma unroll
			for (int i = 2 * r; i < N; i += 4)
				top = fmaxf(top, fmaxf(score[i], score[i + 1]));
			top = fmaxf(top, __shfl_xor_sync(FULL_WARP, top, 1));
			top = fmaxf(top, __shfl_xor_sync(FULL_WARP, top, 2));
			shrink[r] = exp2_of((most[r] - top) * scale2);
			most[r] = top;
#pragma unroll
			for (int i = 2 * r; i < N; i += 4)
			{
				score[i] = exp2_of((score[i] - top) * scale2);
				score[i + 1] = exp2_of((score[i + 1] - top) * scale2);
				here += score[i] + score[i + 1];
			}
			sum[r] = sum[r] * shrink[r] + here;
		}
	}
	__device__ float whole_sum(int r) const
	{
		float all = sum[r] + __shfl_xor_sync(FULL_WARP, sum[r], 1);

		return all + __shfl_xor_sync(FULL_WARP, all, 2);
	}
};

template <bool CAUSAL, int N>
static __device__ __forceinline__ void hide(float (&score)[N], const fused_thread &t, int S,
					    int first, int key)
{
	if (!(CAUSAL && key + 2 * N > first + 64 * t.group) && key + 2 * N <= S)
		return;
#pragma unroll
	for (int i = 0; i < N; i++)
	{
		const int column = key + t.column(i);

		if (column >= S || (CAUSAL && column > first + t.row + t.below(i)))
			score[i] = -INFINITY;
	}
}

template <int D>
static __device__ void write_rows(const float (&y)[D / 2], const running_softmax &soft,
				  const fused_thread &t, const fused_shape &s, int first, bf16 *to,
				  float2 *stats)
{
	const int b = static_cast<int>(blockIdx.z);

#pragma unroll
	for (int r = 0; r < 2; r++)
	{
		const float sum = soft.whole_sum(r), part = 1 / sum;
		const int row = first + t.row + 8 * r;

		if (row >= s.S)
			continue;
		bf16 *at = to + s.row(b, row) * s.HD + blockIdx.y * D + t.column(0);
#pragma unroll
		for (int i = 0; i < D / 8; i++)
			*reinterpret_cast<uint32_t *>(at + 8 * i) =
				pair_of(y[4 * i + 2 * r] * part, y[4 * i + 2 * r + 1] * part);
		if (stats && t.lane % 4 == 0)
			stats[(b * s.H + blockIdx.y) * s.S + row] =
				make_float2(soft.most[r] * s.scale, sum);
	}
}

template <int N, int D2>
static __device__ __forceinline__ void next_step(const float (&score)[N], uint32_t (&p)[N / 2],
						 float (&y)[D2], const float (&shrink)[2])
{
#pragma unroll
	for (int j = 0; j < D2; j++)
		y[j] *= shrink[j / 2 % 2];
#pragma unroll
	for (int j = 0; j < N / 2; j++)
		p[j] = pair_of(score[2 * j], score[2 * j + 1]);
}

/* The scores of the next keys are computed while the values of these are summed. The first and the
 * last step stand outside of the loop, since a condition between wgmma's would make them wait. */
template <int D, bool CAUSAL>
static __device__ void attend(forward_memory<D> &m, const fused_shape &s, int first, int n,
			      bf16 *to, float2 *stats)
{
	using M = forward_memory<D>;
	const fused_thread t;
	running_softmax soft;
	float y[D / 2] = {}, score[M::KEYS / 2], shrink[2];
	uint32_t p[M::KEYS / 4];

	m.has_q.wait(0);
	m.has_k[0].wait(0);
	products_begin();
	tile_nt<M::ROWS, D>(score, m.q, 64 * t.group, m.k[0]);
	products_commit();
	products_wait<0>();
	pin(score);
	if (t.speaks())
		m.free_k[0].arrive();
	hide<CAUSAL>(score, t, s.S, first, (n - 1) * M::KEYS);
	soft.take(score, s.scale2, shrink);
	next_step(score, p, y, shrink);
	for (int i = 1; i < n; i++)
	{
		const int stage = i % M::STAGES, last = (i - 1) % M::STAGES;

		m.has_k[stage].wait(i / M::STAGES % 2);
		pin(score);
		products_begin();
		tile_nt<M::ROWS, D>(score, m.q, 64 * t.group, m.k[stage]);
		products_commit();
		m.has_v[last].wait((i - 1) / M::STAGES % 2);
		products_begin();
		tile_nn<M::KEYS>(y, p, m.v[last]);
		products_commit();
		products_wait<1>();
		pin(score);
		if (t.speaks())
			m.free_k[stage].arrive();
		hide<CAUSAL>(score, t, s.S, first, (n - 1 - i) * M::KEYS);
		soft.take(score, s.scale2, shrink);
		products_wait<0>();
		pin(y);
		if (t.speaks())
			m.free_v[last].arrive();
		next_step(score, p, y, shrink);
	}
	m.has_v[(n - 1) % M::STAGES].wait((n - 1) / M::STAGES % 2);
	products_begin();
	tile_nn<M::KEYS>(y, p, m.v[(n - 1) % M::STAGES]);
	products_commit();
	products_wait<0>();
	pin(y);
	write_rows<D>(y, soft, t, s, first, to, stats);
}

template <int D, bool CAUSAL>
static __global__ void __launch_bounds__(FUSED_THREADS, 1)
	forward(const __grid_constant__ CUtensorMap map, bf16 *y, float2 *stats, fused_shape s)
{
	using M = forward_memory<D>;
	M &m = fused_memory<M>();
	const int block = static_cast<int>(CAUSAL ? gridDim.x - 1 - blockIdx.x : blockIdx.x);
	const int first = block * M::ROWS;
	const int end = CAUSAL && first + M::ROWS < s.S ? first + M::ROWS : s.S;
	const int n = (end + M::KEYS - 1) / M::KEYS;

	if (threadIdx.x == 0)
	{
		m.has_q.init(1);
		for (int i = 0; i < M::STAGES; i++)
		{
			m.has_k[i].init(1);
			m.has_v[i].init(1);
			m.free_k[i].init(2);
			m.free_v[i].init(2);
		}
	}
	barriers_ready();
	if (threadIdx.x < WARPGROUP)
	{
		give_registers<24>();
		if (threadIdx.x == 0)
			load_keys<D>(m, &map, s, first, n);
		return;
	}
	take_registers<240>();
	attend<D, CAUSAL>(m, s, first, n, y, stats);
}

/* --- host ------------------------------------------------------------------------------------- */

bool fused_attention_fits(const struct fsmoe_attention_args *a)
{
#ifdef FSMOE_CUDA_HOPPER
	int device, major, minor;

	return (a->head_dim == 64 || a->head_dim == 128) && a->seq <= INT_MAX / 2 &&
	       a->heads <= USHRT_MAX && a->batch <= USHRT_MAX &&
	       cudaGetDevice(&device) == cudaSuccess &&
	       cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) ==
		       cudaSuccess &&
	       cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) ==
		       cudaSuccess &&
	       major == 9 && minor == 0;
#else
	(void)a;
	return false;
#endif
}

int fused_map(CUtensorMap *map, const struct fsmoe_call *call, const bf16 *from,
	      const struct fsmoe_attention_args *a, size_t columns, unsigned rows)
{
	/* The driver's function, without linking the driver: machines that build have none. */
	static decltype(cuTensorMapEncodeTiled) *const encode = [] {
		void *found = nullptr;
		cudaDriverEntryPointQueryResult result;
		cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
						 cudaEnableDefault, &result);
		return reinterpret_cast<decltype(cuTensorMapEncodeTiled) *>(found);
	}();
	const cuuint64_t sizes[3] = {columns, a->seq, a->batch};
	const cuuint64_t strides[2] = {columns * sizeof(bf16), a->seq * columns * sizeof(bf16)};
	const cuuint32_t box[3] = {64, rows, 1}, steps[3] = {1, 1, 1};

	if (!encode || encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<bf16 *>(from),
			      sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
			      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
			      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) != CUDA_SUCCESS)
		return fsmoe_fail(EIO,
				  "'%s': CUDA's driver could not describe a (%zu, %zu, %zu) tensor",
				  call->node->op->name, a->batch, a->seq, columns);
	return 0;
}

template <int D, bool CAUSAL>
static int launch(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const bf16 *qkv,
		  bf16 *y, float2 *stats)
{
	const auto *a = static_cast<const struct fsmoe_attention_args *>(call->args);
	constexpr size_t bytes = fused_bytes<forward_memory<D>>();
	const fused_shape s(a);
	CUtensorMap map;
	int err = fused_map(&map, call, qkv, a, 3 * s.HD, FUSED_ROWS);

	if (!err)
		err = fused_allow(call, forward<D, CAUSAL>, bytes);
	if (err)
		return err;
	forward<D, CAUSAL><<<fused_grid(a), FUSED_THREADS, bytes, cuda->stream>>>(map, y, stats, s);
	return launched(call);
}

int fused_attention_forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			    const bf16 *qkv, bf16 *y, float2 *stats)
{
	const auto *a = static_cast<const struct fsmoe_attention_args *>(call->args);
	static constexpr decltype(&launch<64, false>) variant[2][2] = {
		{launch<64, true>, launch<64, false>}, {launch<128, true>, launch<128, false>}};

	return variant[a->head_dim == 128][a->bidirectional != 0](call, cuda, qkv, y, stats);
}
