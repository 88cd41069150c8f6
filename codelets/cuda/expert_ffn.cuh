/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CUDA_EXPERT_FFN_CUH
#define FSMOE_CUDA_EXPERT_FFN_CUH

#include "codelets/expert_ffn.h"
#include "codelets/cuda/gelu.cuh"
#include "codelets/cuda/pieces.cuh"

/* Shared by forward and backward of the experts' networks: where a node's weights are, and the
 * activations. */

/* Accesses of a node's weights, or of their gradients; -1 where there is none. */
struct weights
{
	int in[2], in_bias, out, out_bias;
	size_t nin;
};

/* From access i on. `matrices`: biases are not among the accesses. */
static weights weights_of(const struct fsmoe_call *call, const struct fsmoe_ffn *ffn, int i,
			  bool matrices)
{
	weights w = {{-1, -1}, -1, -1, -1, 0};

	for (int k = 0; k < ffn->nweights; k++)
	{
		bool bias = ffn->part[k] == FSMOE_FFN_IN_BIAS || ffn->part[k] == FSMOE_FFN_OUT_BIAS;
		if (bias && matrices)
			continue;
		int at = call->tensor[i] ? i : -1;
		i++;
		switch (ffn->part[k])
		{
		case FSMOE_FFN_IN:
			w.in[w.nin++] = at;
			break;
		case FSMOE_FFN_OUT:
			w.out = at;
			break;
		case FSMOE_FFN_IN_BIAS:
			w.in_bias = at;
			break;
		case FSMOE_FFN_OUT_BIAS:
			w.out_bias = at;
		}
	}
	return w;
}

static float *float_at(const struct fsmoe_call *call, int i)
{
	return i < 0 ? nullptr : data_of<float>(call, (size_t)i);
}

/* --- activations ---------------------------------------------------------------------------- */

/* h of one row's columns [k, k + V), and what dh there becomes. z has H columns a matrix. */
struct act_gelu
{
	template <int V, class T> static __device__ pack<V> value(const T *z, size_t, size_t k)
	{
		pack<V> a = load<V>(z + k);
		for (int j = 0; j < V; j++)
			a.v[j] = gelu_value(a.v[j]);
		return a;
	}
	template <int V, class T> static __device__ void chain(const T *z, T *dz, size_t, size_t k)
	{
		pack<V> a = load<V>(z + k), d = load<V>(dz + k);
		for (int j = 0; j < V; j++)
			d.v[j] *= gelu_slope(a.v[j]);
		store<V>(dz + k, d);
	}
};

struct act_relu
{
	template <int V, class T> static __device__ pack<V> value(const T *z, size_t, size_t k)
	{
		pack<V> a = load<V>(z + k);
		for (int j = 0; j < V; j++)
			a.v[j] = a.v[j] > 0 ? a.v[j] : 0;
		return a;
	}
	template <int V, class T> static __device__ void chain(const T *z, T *dz, size_t, size_t k)
	{
		pack<V> a = load<V>(z + k), d = load<V>(dz + k);
		for (int j = 0; j < V; j++)
			d.v[j] = a.v[j] > 0 ? d.v[j] : 0;
		store<V>(dz + k, d);
	}
};

struct act_swiglu
{
	static __device__ __forceinline__ float sigmoid(float x)
	{
		return 1 / (1 + expf(-x));
	}
	template <int V, class T> static __device__ pack<V> value(const T *z, size_t H, size_t k)
	{
		pack<V> a = load<V>(z + k), b = load<V>(z + H + k);
		for (int j = 0; j < V; j++)
			a.v[j] = a.v[j] * sigmoid(a.v[j]) * b.v[j];
		return a;
	}
	template <int V, class T>
	static __device__ void chain(const T *z, T *dz, size_t H, size_t k)
	{
		pack<V> a = load<V>(z + k), b = load<V>(z + H + k), dh = load<V>(dz + k), da, db;
		for (int j = 0; j < V; j++)
		{
			float s = sigmoid(a.v[j]);
			da.v[j] = dh.v[j] * b.v[j] * (s + a.v[j] * s * (1 - s));
			db.v[j] = dh.v[j] * a.v[j] * s;
		}
		store<V>(dz + k, da);
		store<V>(dz + H + k, db);
	}
};

/* h = act(z) of slots [lo, lo + c), row by row as z lies, which is in pieces; with a bias, which
 * networks of one matrix in have, z += b before. */
template <class A, class T> struct activate
{
	pieces<T> z;
	const float *bias; /* (E, H) or NULL */
	T *h;              /* (E, P, c, H) */
	size_t P, lo, c, H, Z;

	template <int V> __device__ void run(size_t row, size_t k) const
	{
		size_t b = row / c;
		T *at = z.row(b, lo + row % c, Z);
		if (bias)
		{
			pack<V> a = load<V>(at + k), add = load<V>(bias + b / P * H + k);
			for (int j = 0; j < V; j++)
				a.v[j] += add.v[j];
			store<V>(at + k, a);
		}
		store<V>(h + row * H + k, A::template value<V>(at, H, k));
	}
};

template <class A, class T>
static int activate_by(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		       const activate<void, T> &a, size_t rows)
{
	activate<A, T> f = {a.z, a.bias, a.h, a.P, a.lo, a.c, a.H, a.Z};

	return map_rows(call, cuda, f, rows, f.H, aligned(f.z) && aligned(f.h, f.bias));
}

template <class T>
static int activated(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		     const struct fsmoe_expert_args &net, const activate<void, T> &a, size_t rows)
{
	switch (net.activation)
	{
	case FSMOE_FFN_RELU:
		return activate_by<act_relu>(call, cuda, a, rows);
	case FSMOE_FFN_SWIGLU:
		return activate_by<act_swiglu>(call, cuda, a, rows);
	default:
		return activate_by<act_gelu>(call, cuda, a, rows);
	}
}

static inline const struct fsmoe_expert_args &net_of(const struct fsmoe_call *call)
{
	return *static_cast<const struct fsmoe_expert_args *>(call->args);
}

#endif
