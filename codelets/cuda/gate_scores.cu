/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_scores.h"
#include "base/rng.h"
#include "codelets/cuda/choose.cuh"
#include "codelets/cuda/logits.cuh"
#include "codelets/cuda/product.cuh"
#include "codelets/cuda/rng.cuh"

static unsigned token_blocks(size_t T)
{
	return (unsigned)((T + CHOOSE_WARPS - 1) / CHOOSE_WARPS);
}

static __device__ size_t token_of_warp()
{
	return (size_t)blockIdx.x * CHOOSE_WARPS + threadIdx.x / 32;
}

/* --- logits ----------------------------------------------------------------------------------- */

template <class X> static int logits(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	size_t T = fsmoe_rows(call->tensor[0]), M = fsmoe_columns(call->tensor[0]);

	return fixed_logits(call, cuda, data_of<const X>(call, 0), data_of<const float>(call, 1),
			    data_of<float>(call, 2), T, M, fsmoe_rows(call->tensor[1]));
}

CUDA_KERNELS(gate_logits, logits)

/* --- noise ------------------------------------------------------------------------------------ */

/* As on the CPU: a function of (seed, stream, step, token, expert), 0 in a step numbered 0; in
 * double, then rounded, so that the choices that follow are the same. */
struct noise
{
	uint64_t key;
	bool on;
	size_t experts;
	struct fsmoe_token_map tokens;

	__device__ float at(size_t i) const
	{
		size_t row = i / experts, e = i % experts;
		size_t token = row / tokens.span * tokens.stride + row % tokens.span + tokens.first;

		return on ? (float)rng_normal(key, token * experts + e) : 0;
	}
};

static noise noise_of(const struct fsmoe_call *call)
{
	const struct fsmoe_gate_noise_args *a =
		static_cast<const struct fsmoe_gate_noise_args *>(call->args);
	uint64_t seed = call->step ? call->step->seed : 0, step = call->step ? call->step->step : 0;
	uint64_t key = fsmoe_rng_subkey(fsmoe_rng_key(seed, "gate noise"), a->stream);

	return noise{fsmoe_rng_subkey(key, step), step > 0, fsmoe_columns(call->tensor[0]),
		     a->tokens};
}

struct add_noise
{
	noise eps;
	const float *clean, *raw;
	float *noisy, *deviation;

	template <int V> __device__ void run(size_t at) const
	{
		for (size_t i = at; i < at + V; i++)
		{
			double x = (double)raw[i];
			float d = (float)((x > 0 ? x : 0) + log1p(exp(-fabs(x))));
			deviation[i] = d;
			noisy[i] = __fadd_rn(clean[i], __fmul_rn(eps.at(i), d));
		}
	}
};

extern "C" int fsmoe_gate_noise_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	add_noise f = {noise_of(call), data_of<const float>(call, 0), data_of<const float>(call, 1),
		       data_of<float>(call, 2), data_of<float>(call, 3)};

	return map(call, cuda, f, fsmoe_count(call->tensor[0]), false);
}

struct noise_gradient
{
	noise eps;
	const float *raw, *dnoisy, *ddeviation; /* the last two may be NULL */
	float *draw;

	template <int V> __device__ void run(size_t at) const
	{
		for (size_t i = at; i < at + V; i++)
		{
			float d = ddeviation ? ddeviation[i] : 0;
			if (dnoisy)
				d += dnoisy[i] * eps.at(i);
			draw[i] = d / (1 + expf(-raw[i]));
		}
	}
};

extern "C" int fsmoe_gate_noise_backward_cuda(const struct fsmoe_call *call,
					      const struct fsmoe_cuda *cuda)
{
	noise_gradient f = {noise_of(call), data_of<const float>(call, 0),
			    data_of<const float>(call, 1), data_of<const float>(call, 2),
			    data_of<float>(call, 3)};

	return map(call, cuda, f, fsmoe_count(call->tensor[0]), false);
}

/* --- cosine ----------------------------------------------------------------------------------- */

/* 1 / |v| to the eight lanes that share the product, or 0 for a zero vector. */
template <class X> static __device__ float inverse_norm(const X *v, size_t dim)
{
	float sum = 0;

	for (size_t i = threadIdx.x % 8; i < dim; i += 8)
		sum = __fadd_rn(sum, __fmul_rn(get(v[i]), get(v[i])));
	for (int step = 4; step > 0; step /= 2)
		sum = __fadd_rn(sum, __shfl_xor_sync(FULL_WARP, sum, step));
	return sum > 0 ? __fdiv_rn(1, __fsqrt_rn(sum)) : 0;
}

/* One warp a row. */
template <class X>
static __global__ void inverse_norms(const X *v /* (n, dim) */, float *norms /* (n) */, size_t n,
				     size_t dim)
{
	size_t i = token_of_warp();

	if (i >= n)
		return;
	float norm = inverse_norm(v + i * dim, dim);
	if (threadIdx.x % 32 == 0)
		norms[i] = norm;
}

static __device__ __forceinline__ float temperature(float scale, const float *theta)
{
	float tau = __fmul_rn(scale, *theta), least = (float)FSMOE_GATE_COSINE_LEAST;

	return tau > least ? tau : least;
}

/* From products of directions that are not of length 1 yet. */
template <class U>
static __global__ void cosines(const U *u,                             /* (T, d) */
			       const float *theta, const float *norms, /* (E) */
			       float *logits,                          /* (T, E) */
			       float scale, size_t T, size_t dim, size_t E)
{
	size_t t = token_of_warp();

	if (t >= T)
		return;
	float norm = inverse_norm(u + t * dim, dim), tau = temperature(scale, theta);
	float *row = logits + t * E;
	for (size_t e = threadIdx.x % 32; e < E; e += 32)
		row[e] = __fdiv_rn(__fmul_rn(__fmul_rn(row[e], norm), norms[e]), tau);
}

static float scale_of(const struct fsmoe_call *call)
{
	return (float)static_cast<const struct fsmoe_gate_cosine_args *>(call->args)->scale;
}

template <class U> static int cosine(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	size_t T = fsmoe_rows(call->tensor[0]), dim = fsmoe_columns(call->tensor[0]);
	size_t E = fsmoe_rows(call->tensor[1]);
	const U *u = data_of<const U>(call, 0);
	const float *w = data_of<const float>(call, 1);
	float *norms = data_of<float>(call, 4), *logits = data_of<float>(call, 3);
	int err = fixed_logits(call, cuda, u, w, logits, T, dim, E);

	if (err)
		return err;
	inverse_norms<<<token_blocks(E), CHOOSE_THREADS, 0, cuda->stream>>>(w, norms, E, dim);
	if (T > 0)
		cosines<<<token_blocks(T), CHOOSE_THREADS, 0, cuda->stream>>>(
			u, data_of<const float>(call, 2), norms, logits, scale_of(call), T, dim, E);
	return launched(call);
}

extern "C" int fsmoe_gate_cosine_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return holds_bf16(call, 0) ? cosine<bf16>(call, cuda) : cosine<float>(call, cuda);
}

/* --- cosine: backward ------------------------------------------------------------------------- */

template <class U> struct cosine_gradient
{
	const U *u; /* (T, d) */
	const float *w, *theta, *logits, *dlogits;
	float *sums, *norms; /* (E, d): what the tokens pull an expert's direction to; (E) */
	float *token_norms;  /* (T) */
	float *along;        /* (T): of dlogits and logits */
	U *pull;             /* (T, E): dlogits / tau / |u| */
	float *push;         /* (T, E): dlogits / tau / |w|; NULL: du is not wanted */
	float *direction;    /* (T, d): push w */
	U *du;
	float scale;
	size_t T, dim, E;
};

/* One warp a token. */
template <class U>
static __global__ void measure_tokens(const __grid_constant__ cosine_gradient<U> g)
{
	size_t t = token_of_warp();
	float sum = 0;

	if (t >= g.T)
		return;
	float norm = inverse_norm(g.u + t * g.dim, g.dim), tau = temperature(g.scale, g.theta);
	for (size_t e = threadIdx.x % 32; e < g.E; e += 32)
	{
		size_t i = t * g.E + e;
		sum += g.dlogits[i] * g.logits[i];
		put(g.pull + i, g.dlogits[i] / tau * norm);
		if (g.push)
			g.push[i] = g.dlogits[i] / tau * g.norms[e];
	}
	sum = warp_sum(sum);
	if (threadIdx.x % 32 > 0)
		return;
	g.token_norms[t] = norm;
	g.along[t] = sum;
}

/* The product of a token's direction with u / |u| is the sum of dlogits logits. */
template <class U> struct token_directions
{
	cosine_gradient<U> g;

	template <int V> __device__ void run(size_t t, size_t m) const
	{
		size_t i = t * g.dim + m;
		float norm = g.token_norms[t];
		put(g.du + i, (g.direction[i] - get(g.u[i]) * norm * g.along[t]) * norm);
	}
};

/* One warp an expert: the part of its sums across w, over the norm of w. */
template <class U>
static __global__ void expert_directions(const __grid_constant__ cosine_gradient<U> g, float *dw)
{
	size_t e = token_of_warp();
	float along = 0;

	if (e >= g.E)
		return;
	const float *w = g.w + e * g.dim, *d = g.sums + e * g.dim;
	float norm = g.norms[e];
	for (size_t i = threadIdx.x % 32; i < g.dim; i += 32)
		along += w[i] * d[i];
	along = warp_sum(along) * norm * norm;
	for (size_t i = threadIdx.x % 32; i < g.dim; i += 32)
		dw[e * g.dim + i] += (d[i] - w[i] * along) * norm;
}

/* One block. */
template <class U>
static __global__ void theta_gradient(const __grid_constant__ cosine_gradient<U> g, float *dtheta)
{
	__shared__ float room[CHOOSE_WARPS];
	float sum = 0;

	for (size_t t = threadIdx.x; t < g.T; t += CHOOSE_THREADS)
		sum += g.along[t];
	sum = block_sum(sum, room);
	if (threadIdx.x == 0 && g.scale * *g.theta > (float)FSMOE_GATE_COSINE_LEAST)
		*dtheta -= g.scale * sum / temperature(g.scale, g.theta);
}

template <class U>
static cosine_gradient<U> cosine_gradient_of(const struct fsmoe_call *call, scratch *s)
{
	cosine_gradient<U> g = {};

	g.u = data_of<const U>(call, 0);
	g.w = data_of<const float>(call, 1);
	g.theta = data_of<const float>(call, 2);
	g.logits = data_of<const float>(call, 3);
	g.dlogits = data_of<const float>(call, 4);
	g.sums = data_of<float>(call, 8);
	g.du = data_of<U>(call, 5);
	g.scale = scale_of(call);
	g.T = fsmoe_rows(call->tensor[0]);
	g.dim = fsmoe_columns(call->tensor[0]);
	g.E = fsmoe_rows(call->tensor[1]);
	g.norms = g.sums ? g.sums + g.E * g.dim : nullptr;
	g.token_norms = s->take<float>(g.T);
	g.along = s->take<float>(g.T);
	g.pull = s->take<U>(g.T * g.E);
	g.push = call->tensor[5] ? s->take<float>(g.T * g.E) : nullptr;
	g.direction = call->tensor[5] ? s->take<float>(g.T * g.dim) : nullptr;
	return g;
}

extern "C" size_t fsmoe_gate_cosine_backward_cuda_scratch(const struct fsmoe_call *call)
{
	scratch s = {};

	cosine_gradient_of<float>(call, &s); /* the greater of both */
	return s.used;
}

template <class U>
static int cosine_backward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	scratch s = scratch_of(cuda);
	const cosine_gradient<U> g = cosine_gradient_of<U>(call, &s);
	size_t T = g.T, E = g.E, dim = g.dim;
	float *dw = data_of<float>(call, 6), *dtheta = data_of<float>(call, 7);
	int err;

	if (T == 0)
		return 0;
	inverse_norms<<<token_blocks(E), CHOOSE_THREADS, 0, cuda->stream>>>(g.w, g.norms, E, dim);
	measure_tokens<<<token_blocks(T), CHOOSE_THREADS, 0, cuda->stream>>>(g);
	err = multiply(
		call, cuda,
		product(E, dim, T, transposed(g.pull, E), plain(g.u, dim), into(g.sums, dim)));
	if (!err && g.du)
		err = multiply(call, cuda,
			       product(T, dim, E, plain(g.push, E), plain(g.w, dim),
				       into(g.direction, dim)));
	if (!err && g.du)
		err = map_rows(call, cuda, token_directions<U>{g}, T, dim, false);
	if (!err && dw)
		expert_directions<<<token_blocks(E), CHOOSE_THREADS, 0, cuda->stream>>>(g, dw);
	if (!err && dtheta)
		theta_gradient<<<1, CHOOSE_THREADS, 0, cuda->stream>>>(g, dtheta);
	return err ? err : launched(call);
}

extern "C" int fsmoe_gate_cosine_backward_cuda(const struct fsmoe_call *call,
					       const struct fsmoe_cuda *cuda)
{
	return holds_bf16(call, 0) ? cosine_backward<bf16>(call, cuda)
				   : cosine_backward<float>(call, cuda);
}
