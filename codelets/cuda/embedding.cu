/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/embedding.h"
#include "codelets/cuda/launch.cuh"

/* A token outside the vocabulary is reported and read as token 0. */
static __device__ size_t token_at(const int32_t *tokens, size_t t, size_t V, fault_to fault)
{
	int32_t token = tokens[t];

	if (token >= 0 && (size_t)token < V)
		return (size_t)token;
	fault.set(FSMOE_FAULT_TOKEN, (long long)t, token, 0);
	return 0;
}

template <class Y> struct lookup
{
	const int32_t *tokens;  /* (T) */
	const float *table;     /* (V, M) */
	const float *positions; /* (span, M), from the first on, or NULL */
	Y *y;                   /* (T, M) */
	size_t M, V, span;
	fault_to fault;

	template <int N> __device__ void run(size_t t, size_t m) const
	{
		pack<N> a = load<N>(table + token_at(tokens, t, V, fault) * M + m);
		if (positions)
		{
			pack<N> b = load<N>(positions + t % span * M + m);
			for (int j = 0; j < N; j++)
				a.v[j] += b.v[j];
		}
		store<N>(y + t * M + m, a);
	}
};

template <class Y> static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_embedding_args *args =
		static_cast<const struct fsmoe_embedding_args *>(call->args);
	size_t T = fsmoe_count(call->tensor[0]), M = fsmoe_columns(call->tensor[1]);
	const float *positions = data_of<const float>(call, 2);
	lookup<Y> f = {data_of<const int32_t>(call, 0),
		       data_of<const float>(call, 1),
		       positions ? positions + args->first * M : nullptr,
		       data_of<Y>(call, 3),
		       M,
		       fsmoe_rows(call->tensor[1]),
		       args->span,
		       fault_of(call, cuda)};

	return map_rows(call, cuda, f, T, M, aligned(f.table, f.positions, f.y));
}

/* --- backward ------------------------------------------------------------------------------ */

static constexpr unsigned THREADS = 128, WARPS = THREADS / 32;

/* Which of the tokens [base, base + THREADS) equal `token`: their numbers in ascending order to
 * `list`. Returns how many, to all threads; `list` may be read until the next call. */
static __device__ unsigned matches(const int32_t *tokens, size_t base, size_t T, int32_t token,
				   unsigned *list)
{
	__shared__ unsigned warp_count[WARPS];
	size_t t = base + threadIdx.x;
	bool hit = t < T && tokens[t] == token;
	unsigned ballot = __ballot_sync(FULL_WARP, hit), warp = threadIdx.x / 32;
	unsigned before = 0, all = 0;

	__syncthreads(); /* nobody reads the last list any more */
	if (threadIdx.x % 32 == 0)
		warp_count[warp] = (unsigned)__popc(ballot);
	__syncthreads();
	for (unsigned w = 0; w < WARPS; w++)
	{
		before += w < warp ? warp_count[w] : 0;
		all += warp_count[w];
	}
	if (hit)
		list[before + (unsigned)__popc(ballot & ((1u << threadIdx.x % 32) - 1))] =
			threadIdx.x;
	__syncthreads();
	return all;
}

/* Block (t, tile): if row t is the first with its token, it adds the rows of all of that token, in
 * order, to the token's row of the table. So work is in proportion to T, whatever the vocabulary.
 * */
template <class Y>
static __global__ void add_tokens(const int32_t *tokens, /* (T) */
				  const Y *dy,           /* (T, M) */
				  float *dtable,         /* (V, M) */
				  size_t T, size_t M, size_t V, fault_to fault)
{
	__shared__ unsigned list[THREADS];
	size_t t = blockIdx.x, m = (size_t)blockIdx.y * THREADS + threadIdx.x;
	int32_t token = tokens[t];
	bool seen = false;

	if (token < 0 || (size_t)token >= V)
	{
		if (threadIdx.x == 0)
			fault.set(FSMOE_FAULT_TOKEN, (long long)t, token, 0);
		return;
	}
	for (size_t s = threadIdx.x; s < t && !seen; s += THREADS)
		seen = tokens[s] == token;
	if (__syncthreads_or(seen))
		return;

	float sum = m < M ? dtable[(size_t)token * M + m] : 0;
	for (size_t base = t; base < T; base += THREADS)
	{
		unsigned n = matches(tokens, base, T, token, list);
		if (m < M)
#pragma unroll 4
			for (unsigned i = 0; i < n; i++)
				sum += get(dy[(base + list[i]) * M + m]);
	}
	if (m < M)
		dtable[(size_t)token * M + m] = sum;
}

/* Row p of the positions: rows p, p + span, ... of dy. */
template <class Y> struct add_positions
{
	const Y *dy;       /* (T, M) */
	float *dpositions; /* (span, M), from the first on */
	size_t T, M, span;

	template <int N> __device__ void run(size_t p, size_t m) const
	{
		pack<N> sum = load<N>(dpositions + p * M + m);
		for (size_t t = p; t < T; t += span)
		{
			pack<N> g = load<N>(dy + t * M + m);
			for (int j = 0; j < N; j++)
				sum.v[j] += g.v[j];
		}
		store<N>(dpositions + p * M + m, sum);
	}
};

template <class Y> static int backward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_embedding_args *args =
		static_cast<const struct fsmoe_embedding_args *>(call->args);
	const Y *dy = data_of<const Y>(call, 1);
	float *dtable = data_of<float>(call, 2), *dpositions = data_of<float>(call, 3);
	size_t T = fsmoe_count(call->tensor[0]), M = fsmoe_columns(call->tensor[1]);
	int err = 0;

	if (T == 0)
		return 0;
	if (dtable)
	{
		dim3 grid((unsigned)T, (unsigned)((M + THREADS - 1) / THREADS));
		add_tokens<<<grid, THREADS, 0, cuda->stream>>>(
			data_of<const int32_t>(call, 0), dy, dtable, T, M,
			fsmoe_rows(call->tensor[2]), fault_of(call, cuda));
		err = launched(call);
	}
	if (dpositions && !err)
	{
		size_t span = args->span < T ? args->span : T;
		add_positions<Y> f = {dy, dpositions + args->first * M, T, M, args->span};
		err = map_rows(call, cuda, f, span, M, aligned(f.dy, f.dpositions));
	}
	return err;
}

CUDA_KERNELS(embedding, forward)
CUDA_KERNELS(embedding_backward, backward)
