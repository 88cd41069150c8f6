/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/attention_fused.cuh"

/*
 * P = 2^(scale2 q k - most) / sum anew, dS = P (dy v - delta), delta = y dy of the row, and
 *   dv = P^T dy,  dk = scale dS^T q    a block has 128 keys and walks over their queries
 *   dq = scale dS k                    a block has 128 queries and walks over their keys
 * The first kernel computes P and dS turned round, keys by queries, so that they are in registers
 * as the second product wants them; both kernels compute P and dS, seven products in all.
 */

/* The numbers of one query, in this order: most log2(e), 1 / sum, delta. Rows past the sequence are
 * zeros, which make their P zero. */
template <int D>
static __global__ void row_numbers(const bf16 *y, const bf16 *dy, const float2 *stats, float4 *rows,
				   fused_shape s, int padded)
{
	const int row = static_cast<int>(blockIdx.x * 8 + threadIdx.x / 32);
	const int lane = static_cast<int>(threadIdx.x % 32), b = static_cast<int>(blockIdx.z);
	const size_t square = b * s.H + blockIdx.y;
	float4 numbers = make_float4(0, 0, 0, 0);

	if (row < s.S)
	{
		const size_t at = s.row(b, row) * s.HD + blockIdx.y * D + lane * (D / 32);
		const float2 kept = stats[square * s.S + row];
		float sum = 0;
		for (int i = 0; i < D / 32; i++)
			sum += get(y[at + i]) * get(dy[at + i]);
		for (int step = 16; step > 0; step /= 2)
			sum += __shfl_xor_sync(FULL_WARP, sum, step);
		numbers = make_float4(kept.x * s.LOG2_E, 1 / kept.y, sum, 0);
	}
	if (lane == 0)
		rows[square * padded + row] = numbers;
}

/* Never above 1 / sum, however large the scores and the rounding of the largest are. */
static __device__ __forceinline__ float probability(float score, float scale2, const float4 &row)
{
	return exp2_of(fminf(fmaf(score, scale2, -row.x), 0)) * row.y;
}

/* The gradients of a block's rows, into a head of q, k or v of dqkv. */
template <int D>
static __device__ void write_gradient(const float (&x)[D / 2], float scale, const fused_thread &t,
				      const fused_shape &s, int first, bf16 *to)
{
#pragma unroll
	for (int r = 0; r < 2; r++)
	{
		const int row = first + t.row + 8 * r;

		if (row >= s.S)
			continue;
		bf16 *at = to + s.row(static_cast<int>(blockIdx.z), row) * 3 * s.HD +
			   blockIdx.y * D + t.column(0);
#pragma unroll
		for (int i = 0; i < D / 8; i++)
			*reinterpret_cast<uint32_t *>(at + 8 * i) =
				pair_of(x[4 * i + 2 * r] * scale, x[4 * i + 2 * r + 1] * scale);
	}
}

/* Two tiles of 128 rows that stay, and pairs of tiles of 64 rows that come by. */
template <int D> struct backward_memory
{
	static constexpr int ROWS = 128, STEP = 64, STAGES = 2;
	alignas(1024) char mine[2][ROWS * D * 2]; /* k, v; or q, dy */
	alignas(1024) char other[STAGES][2][STEP * D * 2];
	alignas(128) float4 rows[STAGES][STEP];
	barrier has_mine, has[STAGES], free[STAGES];

	__device__ void init()
	{
		if (threadIdx.x == 0)
		{
			has_mine.init(1);
			for (int i = 0; i < STAGES; i++)
			{
				has[i].init(1);
				free[i].init(2);
			}
		}
		barriers_ready();
	}
};

/* Waits for step i's tiles and multiplies both pairs: the scores are ready, and ds, the product of
 * dy and v, is under way. */
template <int D, int N>
static __device__ __forceinline__ void multiply_step(backward_memory<D> &m, const fused_thread &t,
						     int i, float (&score)[N], float (&ds)[N])
{
	using M = backward_memory<D>;
	const int stage = i % M::STAGES;

	m.has[stage].wait(i / M::STAGES % 2);
	pin(score);
	pin(ds);
	products_begin();
	tile_nt<M::ROWS, D>(score, m.mine[0], 64 * t.group, m.other[stage][0]);
	products_commit();
	tile_nt<M::ROWS, D>(ds, m.mine[1], 64 * t.group, m.other[stage][1]);
	products_commit();
	products_wait<1>();
	pin(score);
}

/* Maps of qkv and dy, by tiles of 128 and of 64 rows. */
struct backward_maps
{
	CUtensorMap qkv[2], dy[2];
};

/* --- dk, dv ----------------------------------------------------------------------------------- */

template <int D>
static __device__ void load_queries(backward_memory<D> &m, const backward_maps &maps,
				    const float4 *rows, const fused_shape &s, int key, int first,
				    int n, int padded)
{
	using M = backward_memory<D>;
	const size_t head = blockIdx.y * D;
	const int b = static_cast<int>(blockIdx.z);

	m.has_mine.expect(sizeof(m.mine));
	load_tile<M::ROWS, D>(m.mine[0], &maps.qkv[0], &m.has_mine, s.HD + head, key, b);
	load_tile<M::ROWS, D>(m.mine[1], &maps.qkv[0], &m.has_mine, 2 * s.HD + head, key, b);
	for (int i = 0; i < n; i++)
	{
		const int stage = i % M::STAGES, query = first + i * M::STEP;
		barrier *has = &m.has[stage];

		m.free[stage].wait(i / M::STAGES % 2 ^ 1);
		has->expect(sizeof(m.other[stage]) + sizeof(m.rows[stage]));
		load_tile<M::STEP, D>(m.other[stage][0], &maps.qkv[1], has, head, query, b);
		load_tile<M::STEP, D>(m.other[stage][1], &maps.dy[1], has, head, query, b);
		load_bytes(m.rows[stage], rows + (b * s.H + blockIdx.y) * padded + query,
			   sizeof(m.rows[stage]), has);
	}
}

/* Scores (keys, queries) become P, of which p are the pairs. */
template <bool CAUSAL, int N>
static __device__ __forceinline__ void
turned_probabilities(float (&score)[N], uint32_t (&p)[N / 2], const float4 *row,
		     const fused_thread &t, const fused_shape &s, int key, int query)
{
	const bool cut = (CAUSAL && query < key + 64 * t.group + 64) || key + 128 > s.S;

#pragma unroll
	for (int i = 0; i < N; i++)
	{
		const int column = t.column(i), mine = key + t.row + t.below(i);

		score[i] = probability(score[i], s.scale2, row[column]);
		if (cut && (mine >= s.S || (CAUSAL && mine > query + column)))
			score[i] = 0;
	}
#pragma unroll
	for (int i = 0; i < N / 2; i++)
		p[i] = pair_of(score[2 * i], score[2 * i + 1]);
}

template <int D, bool CAUSAL>
static __device__ void sum_over_queries(backward_memory<D> &m, const fused_shape &s, int key,
					int first, int n, bf16 *dqkv)
{
	using M = backward_memory<D>;
	const fused_thread t;
	float dk[D / 2] = {}, dv[D / 2] = {}, score[M::STEP / 2], ds[M::STEP / 2];
	uint32_t p[M::STEP / 4], q[M::STEP / 4];

	m.has_mine.wait(0);
	for (int i = 0; i < n; i++)
	{
		const int stage = i % M::STAGES;
		const float4 *row = m.rows[stage];

		multiply_step(m, t, i, score, ds);
		turned_probabilities<CAUSAL>(score, p, row, t, s, key, first + i * M::STEP);
		products_wait<0>();
		pin(ds);
#pragma unroll
		for (int j = 0; j < M::STEP / 4; j++)
			q[j] = pair_of(score[2 * j] * (ds[2 * j] - row[t.column(2 * j)].z),
				       score[2 * j + 1] *
					       (ds[2 * j + 1] - row[t.column(2 * j + 1)].z));
		pin(dk);
		pin(dv);
		products_begin();
		tile_nn<M::STEP>(dv, p, m.other[stage][1]);
		tile_nn<M::STEP>(dk, q, m.other[stage][0]);
		products_commit();
		products_wait<0>();
		pin(dk);
		pin(dv);
		if (t.speaks())
			m.free[stage].arrive();
	}
	write_gradient<D>(dk, s.scale, t, s, key, dqkv + s.HD);
	write_gradient<D>(dv, 1, t, s, key, dqkv + 2 * s.HD);
}

template <int D, bool CAUSAL>
static __global__ void __launch_bounds__(FUSED_THREADS, 1)
	keys_backward(const __grid_constant__ backward_maps maps, const float4 *rows, bf16 *dqkv,
		      fused_shape s, int padded)
{
	using M = backward_memory<D>;
	M &m = fused_memory<M>();
	const int key = static_cast<int>(blockIdx.x) * M::ROWS, first = CAUSAL ? key : 0;
	const int n = (s.S - first + M::STEP - 1) / M::STEP;

	m.init();
	if (threadIdx.x < WARPGROUP)
	{
		give_registers<24>();
		if (threadIdx.x == 0)
			load_queries<D>(m, maps, rows, s, key, first, n, padded);
		return;
	}
	take_registers<240>();
	sum_over_queries<D, CAUSAL>(m, s, key, first, n, dqkv);
}

/* --- dq --------------------------------------------------------------------------------------- */

template <int D>
static __device__ void load_keys(backward_memory<D> &m, const backward_maps &maps,
				 const fused_shape &s, int query, int n)
{
	using M = backward_memory<D>;
	const size_t head = blockIdx.y * D;
	const int b = static_cast<int>(blockIdx.z);

	m.has_mine.expect(sizeof(m.mine));
	load_tile<M::ROWS, D>(m.mine[0], &maps.qkv[0], &m.has_mine, head, query, b);
	load_tile<M::ROWS, D>(m.mine[1], &maps.dy[0], &m.has_mine, head, query, b);
	for (int i = 0; i < n; i++)
	{
		const int stage = i % M::STAGES, key = (n - 1 - i) * M::STEP;
		barrier *has = &m.has[stage];

		m.free[stage].wait(i / M::STAGES % 2 ^ 1);
		has->expect(sizeof(m.other[stage]));
		load_tile<M::STEP, D>(m.other[stage][0], &maps.qkv[1], has, s.HD + head, key, b);
		load_tile<M::STEP, D>(m.other[stage][1], &maps.qkv[1], has, 2 * s.HD + head, key,
				      b);
	}
}

template <bool CAUSAL, int N>
static __device__ __forceinline__ void probabilities(float (&score)[N], const float4 (&row)[2],
						     const fused_thread &t, const fused_shape &s,
						     int query, int key)
{
	const bool cut = (CAUSAL && key + 2 * N > query + 64 * t.group) || key + 2 * N > s.S;

#pragma unroll
	for (int i = 0; i < N; i++)
	{
		const int column = key + t.column(i);

		score[i] = probability(score[i], s.scale2, row[i / 2 % 2]);
		if (cut && (column >= s.S || (CAUSAL && column > query + t.row + t.below(i))))
			score[i] = 0;
	}
}

template <int D, bool CAUSAL>
static __device__ void sum_over_keys(backward_memory<D> &m, const float4 *rows,
				     const fused_shape &s, int query, int n, bf16 *dqkv, int padded)
{
	using M = backward_memory<D>;
	const fused_thread t;
	const float4 *at = rows + (blockIdx.z * s.H + blockIdx.y) * padded + query + t.row;
	const float4 row[2] = {at[0], at[8]};
	float dq[D / 2] = {}, score[M::STEP / 2], ds[M::STEP / 2];
	uint32_t p[M::STEP / 4];

	m.has_mine.wait(0);
	for (int i = 0; i < n; i++)
	{
		const int stage = i % M::STAGES;

		multiply_step(m, t, i, score, ds);
		probabilities<CAUSAL>(score, row, t, s, query, (n - 1 - i) * M::STEP);
		products_wait<0>();
		pin(ds);
#pragma unroll
		for (int j = 0; j < M::STEP / 4; j++)
			p[j] = pair_of(score[2 * j] * (ds[2 * j] - row[j % 2].z),
				       score[2 * j + 1] * (ds[2 * j + 1] - row[j % 2].z));
		pin(dq);
		products_begin();
		tile_nn<M::STEP>(dq, p, m.other[stage][0]);
		products_commit();
		products_wait<0>();
		pin(dq);
		if (t.speaks())
			m.free[stage].arrive();
	}
	write_gradient<D>(dq, s.scale, t, s, query, dqkv);
}

template <int D, bool CAUSAL>
static __global__ void __launch_bounds__(FUSED_THREADS, 1)
	queries_backward(const __grid_constant__ backward_maps maps, const float4 *rows, bf16 *dqkv,
			 fused_shape s, int padded)
{
	using M = backward_memory<D>;
	M &m = fused_memory<M>();
	const int block = static_cast<int>(CAUSAL ? gridDim.x - 1 - blockIdx.x : blockIdx.x);
	const int query = block * M::ROWS;
	const int end = CAUSAL && query + M::ROWS < s.S ? query + M::ROWS : s.S;
	const int n = (end + M::STEP - 1) / M::STEP;

	m.init();
	if (threadIdx.x < WARPGROUP)
	{
		give_registers<24>();
		if (threadIdx.x == 0)
			load_keys<D>(m, maps, s, query, n);
		return;
	}
	take_registers<240>();
	sum_over_keys<D, CAUSAL>(m, rows, s, query, n, dqkv, padded);
}

/* --- host ------------------------------------------------------------------------------------- */

static size_t padded_rows(const struct fsmoe_attention_args *a)
{
	return (a->seq + FUSED_ROWS - 1) / FUSED_ROWS * FUSED_ROWS;
}

struct fused_backward fused_backward_of(const struct fsmoe_attention_args *a, scratch *s)
{
	struct fused_backward room;

	room.y = s->take<bf16>(a->batch * a->seq * a->heads * a->head_dim);
	room.rows = s->take<float4>(a->batch * a->heads * padded_rows(a));
	return room;
}

template <int D, bool CAUSAL>
static int launch(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		  const struct fused_backward &room, const float2 *stats, const bf16 *dy,
		  bf16 *dqkv, const backward_maps &maps)
{
	const auto *a = static_cast<const struct fsmoe_attention_args *>(call->args);
	constexpr size_t bytes = fused_bytes<backward_memory<D>>();
	const fused_shape s(a);
	const int padded = static_cast<int>(padded_rows(a));
	const dim3 grid = fused_grid(a), by_row(grid.x * FUSED_ROWS / 8, grid.y, grid.z);
	int err = fused_allow(call, keys_backward<D, CAUSAL>, bytes);

	if (!err)
		err = fused_allow(call, queries_backward<D, CAUSAL>, bytes);
	if (err)
		return err;
	row_numbers<D><<<by_row, 256, 0, cuda->stream>>>(room.y, dy, stats, room.rows, s, padded);
	keys_backward<D, CAUSAL>
		<<<grid, FUSED_THREADS, bytes, cuda->stream>>>(maps, room.rows, dqkv, s, padded);
	queries_backward<D, CAUSAL>
		<<<grid, FUSED_THREADS, bytes, cuda->stream>>>(maps, room.rows, dqkv, s, padded);
	return launched(call);
}

int fused_attention_backward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			     const struct fused_backward &room, const bf16 *qkv,
			     const float2 *stats, const bf16 *dy, bf16 *dqkv)
{
	const auto *a = static_cast<const struct fsmoe_attention_args *>(call->args);
	static constexpr decltype(&launch<64, false>) variant[2][2] = {
		{launch<64, true>, launch<64, false>}, {launch<128, true>, launch<128, false>}};
	const size_t HD = a->heads * a->head_dim;
	backward_maps maps;
	int err = fused_attention_forward(call, cuda, qkv, room.y, nullptr);

	for (int i = 0; i < 2 && !err; i++)
	{
		err = fused_map(&maps.qkv[i], call, qkv, a, 3 * HD, 128u >> i);
		if (!err)
			err = fused_map(&maps.dy[i], call, dy, a, HD, 128u >> i);
	}
	return err ? err
		   : variant[a->head_dim == 128][a->bidirectional != 0](call, cuda, room, stats, dy,
									dqkv, maps);
}
