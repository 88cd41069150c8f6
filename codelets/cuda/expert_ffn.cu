/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_ffn.h"
#include "codelets/cuda/epilogue.cuh"
#include "codelets/cuda/gelu.cuh"
#include "codelets/cuda/pieces.cuh"
#include "codelets/cuda/reduce.cuh"

/*
 * Products are strided batched over the experts, once per source; with one expert the rows of all
 * sources are one product. The ports for scratch that the rows of these operations declare hold a
 * block of the CPU's; a GPU wants whole chunks, from the lane's scratch.
 */

/* A chunk (P, E, c, ...): `runs` products of `rows` rows for each of `experts`. */
struct sizes
{
	size_t P, E, c, M, H, Z;
	size_t runs, rows;

	size_t total() const
	{
		return P * E * c;
	}
};

static sizes sizes_of(const struct fsmoe_tensor_info *x, size_t Z, size_t inputs)
{
	const size_t *d = x->shape.dim;
	bool one = d[1] == 1;

	return sizes{d[0],       d[1], d[2],           d[3],
		     Z / inputs, Z,    one ? 1 : d[0], one ? d[0] * d[2] : d[2]};
}

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

/* A matrix whose rows of n columns lie ld apart. */
template <class T> struct block
{
	T *x;
	size_t n, ld;
};

/* y = x op(w) + beta y for every expert; w (N, K), or (K, N) when not transposed. */
template <class T>
static int multiply_rows(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			 const sizes &s, bool trans, block<const T> x, const T *w, block<T> y,
			 float beta)
{
	int err = 0;

	for (size_t r = 0; r < s.runs && !err; r++)
		err = multiply(call, cuda,
			       product<T>{false, trans, s.rows, y.n, x.n,
					  x.x + r * s.E * s.rows * x.ld, x.ld, s.rows * x.ld, w,
					  trans ? x.n : y.n, y.n * x.n,
					  y.x + r * s.E * s.rows * y.ld, y.ld, s.rows * y.ld, s.E,
					  1, beta});
	return err;
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

/* h = act(z), z in pieces; with a bias, which networks of one matrix in have, z += b before. Row
 * (p, e, s) of [lo, lo + c). */
template <class A, class T> struct activate
{
	pieces<T> z;
	const float *bias; /* (E, H) or NULL */
	T *h;              /* (P, E, c, H) */
	size_t E, lo, c, H, Z;

	template <int V> __device__ void run(size_t row, size_t k) const
	{
		T *at = z.row(row / c, lo + row % c, Z);
		if (bias)
		{
			pack<V> a = load<V>(at + k), b = load<V>(bias + row / c % E * H + k);
			for (int j = 0; j < V; j++)
				a.v[j] += b.v[j];
			store<V>(at + k, a);
		}
		store<V>(h + row * H + k, A::template value<V>(at, H, k));
	}
};

/* dh, which stands in the first H columns of dz, becomes dz. */
template <class A, class T> struct chain
{
	pieces<T> z;
	T *dz; /* (P, E, c, Z) */
	size_t lo, c, H, Z;

	template <int V> __device__ void run(size_t row, size_t k) const
	{
		A::template chain<V>(z.row(row / c, lo + row % c, Z), dz + row * Z, H, k);
	}
};

template <class A, class T>
static int activate_by(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		       const activate<void, T> &a, size_t rows)
{
	activate<A, T> f = {a.z, a.bias, a.h, a.E, a.lo, a.c, a.H, a.Z};

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

template <class A, class T>
static int chain_by(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		    const chain<void, T> &a, size_t rows)
{
	chain<A, T> f = {a.z, a.dz, a.lo, a.c, a.H, a.Z};

	return map_rows(call, cuda, f, rows, f.H, aligned(f.z) && aligned(f.dz));
}

template <class T>
static int chained(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		   const struct fsmoe_expert_args &net, const chain<void, T> &a, size_t rows)
{
	switch (net.activation)
	{
	case FSMOE_FFN_RELU:
		return chain_by<act_relu>(call, cuda, a, rows);
	case FSMOE_FFN_SWIGLU:
		return chain_by<act_swiglu>(call, cuda, a, rows);
	default:
		return chain_by<act_gelu>(call, cuda, a, rows);
	}
}

/* --- products with epilogues, of bf16 --------------------------------------------------------- */

/* y = x op(w) with an epilogue, run by run; e's addresses are those of the first run, whose aux
 * lies as y does. *done is false when cuBLAS has none that fits, and y is to be computed otherwise.
 * */
static int multiply_rows_with(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			      const sizes &s, bool trans, block<const bf16> x, const bf16 *w,
			      block<bf16> y, epilogue e, void *workspace, bool *done)
{
	int err = 0;

	e.ld_aux = y.ld;
	e.aux_stride = s.rows * y.ld;
	for (size_t r = 0; r < s.runs && !err; r++)
	{
		product<bf16> p = {false,     trans,
				   s.rows,    y.n,
				   x.n,       x.x + r * s.E * s.rows * x.ld,
				   x.ld,      s.rows * x.ld,
				   w,         trans ? x.n : y.n,
				   y.n * x.n, y.x + r * s.E * s.rows * y.ld,
				   y.ld,      s.rows * y.ld,
				   s.E,       1,
				   0};
		epilogue here = e;
		here.aux = e.aux ? e.aux + r * s.E * s.rows * y.ld : nullptr;
		err = multiply_with(call, cuda, p, here, workspace, done);
		if (!*done)
			return err;
	}
	return err;
}

/* Of one chunk: h = gelu(z), z = x w^T + b1. (The same of the backward, dz = (dy w2) gelu'(z), was
 * slower than a pass of its own: 1.42 ms against 1.00 for M 2048, H 8192 and 9824 rows on an H100.)
 * */
static int hidden_at_once(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			  const sizes &s, const weights &w, const bf16 *x, bf16 *z, bf16 *h,
			  void *workspace, bool *done)
{
	epilogue e = {};

	e.kind = w.in_bias >= 0 ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
	e.bias = w.in_bias >= 0 ? copy_of(call, (size_t)w.in_bias) : nullptr;
	e.bias_stride = s.H;
	e.aux = z;
	*done = false;
	if (s.H % 8 || s.M % 8 || (w.in_bias >= 0 && !e.bias) || !aligned(x, z, h))
		return 0;
	return multiply_rows_with(call, cuda, s, true, {x, s.M, s.M},
				  weight_of<bf16>(call, (size_t)w.in[0]), {h, s.H, s.H}, e,
				  workspace, done);
}

static int hidden_at_once(const struct fsmoe_call *, const struct fsmoe_cuda *, const sizes &,
			  const weights &, const float *, float *, float *, void *, bool *done)
{
	*done = false;
	return 0;
}

/* --- forward -------------------------------------------------------------------------------- */

template <class T> struct add_bias
{
	const float *bias; /* (E, M) */
	T *y;              /* (P, E, c, M) */
	size_t E, c, M;

	template <int V> __device__ void run(size_t row, size_t m) const
	{
		pack<V> a = load<V>(y + row * M + m), b = load<V>(bias + row / c % E * M + m);
		for (int j = 0; j < V; j++)
			a.v[j] += b.v[j];
		store<V>(y + row * M + m, a);
	}
};

static const struct fsmoe_expert_args &net_of(const struct fsmoe_call *call)
{
	return *static_cast<const struct fsmoe_expert_args *>(call->args);
}

template <class T> static size_t forward_scratch(const struct fsmoe_call *call)
{
	const struct fsmoe_ffn *ffn = net_of(call).ffn;
	scratch s = {};

	s.take<T>(fsmoe_count(call->tensor[2 + ffn->nweights]) / (size_t)fsmoe_ffn_inputs(ffn));
	if (sizeof(T) < sizeof(float))
		s.take<char>(EPILOGUE_WORKSPACE);
	return s.used;
}

template <class T> static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_expert_args &net = net_of(call);
	const size_t Y = 1 + (size_t)net.ffn->nweights;
	const weights w = weights_of(call, net.ffn, 1, false);
	const sizes s = sizes_of(call->tensor[0], fsmoe_columns(call->tensor[Y + 1]), w.nin);
	const T *x = data_of<const T>(call, 0);
	T *y = data_of<T>(call, Y), *z = data_of<T>(call, Y + 1);
	scratch room = scratch_of(cuda);
	T *h = room.take<T>(s.total() * s.H);
	void *workspace = sizeof(T) < sizeof(float) ? room.take<char>(EPILOGUE_WORKSPACE) : nullptr;
	activate<void, T> act = {
		{1, {0, s.c}, {z}}, float_at(call, w.in_bias), h, s.E, 0, s.c, s.H, s.Z};
	add_bias<T> out = {float_at(call, w.out_bias), y, s.E, s.c, s.M};
	bool done = false;
	int err = 0;

	if (net.activation == FSMOE_FFN_GELU)
		err = hidden_at_once(call, cuda, s, w, x, z, h, workspace, &done);
	for (size_t j = 0; !done && j < w.nin && !err; j++)
		err = multiply_rows<T>(call, cuda, s, true, {x, s.M, s.M},
				       weight_of<T>(call, (size_t)w.in[j]), {z + j * s.H, s.H, s.Z},
				       0);
	if (!done && !err)
		err = activated(call, cuda, net, act, s.total());
	if (!err)
		err = multiply_rows<T>(call, cuda, s, true, {h, s.H, s.H},
				       weight_of<T>(call, (size_t)w.out), {y, s.M, s.M}, 0);
	if (!err && out.bias)
		err = map_rows(call, cuda, out, s.total(), s.M, aligned(out.bias, y));
	return err;
}

/* --- backward: the input -------------------------------------------------------------------- */

template <class T>
static int backward_input(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_expert_input_args *a =
		static_cast<const struct fsmoe_expert_input_args *>(call->args);
	const size_t DX = 1 + (size_t)fsmoe_ffn_matrices(a->net.ffn);
	const weights w = weights_of(call, a->net.ffn, 1, true);
	const sizes s = sizes_of(call->tensor[0], fsmoe_columns(call->tensor[DX + 1]), w.nin);
	const T *dy = data_of<const T>(call, 0);
	T *dx = data_of<T>(call, DX), *dz = data_of<T>(call, DX + 1);
	chain<void, T> f = {{}, dz, a->lo, s.c, s.H, s.Z};
	int err = pieces_of(call, a->n, a->at, DX + 2, &f.z);

	if (!err)
		err = multiply_rows<T>(call, cuda, s, false, {dy, s.M, s.M},
				       weight_of<T>(call, (size_t)w.out), {dz, s.H, s.Z}, 0);
	if (!err)
		err = chained(call, cuda, a->net, f, s.total());
	for (size_t j = 0; j < w.nin && !err; j++)
		err = multiply_rows<T>(call, cuda, s, false, {dz + j * s.H, s.H, s.Z},
				       weight_of<T>(call, (size_t)w.in[j]), {dx, s.M, s.M},
				       j ? 1 : 0);
	return err;
}

/* --- backward: the weights ------------------------------------------------------------------ */

template <class T> struct weight_pass
{
	const struct fsmoe_expert_args *net;
	weights d;
	size_t P, E, M, H, Z, lo, hi;
	pieces<T> x, z, dy, dz;
	T *h; /* (P, E, hi - lo, H): act(z) of the slots of this node */
};

template <class T> static int weight_pass_of(const struct fsmoe_call *call, weight_pass<T> *w)
{
	const struct fsmoe_expert_weight_args *a =
		static_cast<const struct fsmoe_expert_weight_args *>(call->args);
	const size_t X = 1 + (size_t)a->net.ffn->nweights, nf = a->forward, nb = a->backward;
	const size_t *forward = a->at, *backward = a->at + nf + 1;
	const struct fsmoe_tensor_info *x = call->tensor[X];

	w->net = &a->net;
	w->d = weights_of(call, a->net.ffn, 0, false);
	w->P = x->shape.dim[0];
	w->E = x->shape.dim[1];
	w->M = fsmoe_columns(x);
	w->Z = fsmoe_columns(call->tensor[X + nf]);
	w->H = w->Z / w->d.nin;
	w->lo = backward[0];
	w->hi = backward[nb];
	if (pieces_of(call, nf, forward, X, &w->x) || pieces_of(call, nf, forward, X + nf, &w->z) ||
	    pieces_of(call, nb, backward, X + 2 * nf, &w->dy) ||
	    pieces_of(call, nb, backward, X + 2 * nf + nb, &w->dz))
		return -EINVAL;
	return 0;
}

/* n columns from `first` on of rows of ld, in pieces. */
template <class T> struct columns_of
{
	const pieces<T> &p;
	size_t first, n, ld;

	T *at(size_t run, size_t slot) const
	{
		return p.row(run, slot, ld) + first;
	}
	size_t span(size_t slot) const
	{
		size_t i = p.find(slot);
		return p.at[i + 1] - p.at[i];
	}
	size_t end(size_t slot) const
	{
		return p.at[p.find(slot) + 1];
	}
};

/* dw (E, a.n, b.n) += a^T b, added up over the sources and over [lo, hi) in steps that lie in one
 * piece of both. */
template <class T>
static int add_products(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			const weight_pass<T> &w, const columns_of<T> &a, const columns_of<T> &b,
			float *dw)
{
	int err = 0;

	for (size_t s = w.lo, end; s < w.hi; s = end)
	{
		size_t span_a = a.span(s), span_b = b.span(s);
		end = a.end(s) < b.end(s) ? a.end(s) : b.end(s);
		end = end < w.hi ? end : w.hi;

		/* Whole pieces of one expert: the rows of all sources lie together. */
		bool all = w.E == 1 && end - s == span_a && end - s == span_b;
		size_t rows = all ? w.P * (end - s) : end - s;
		for (size_t p = 0; p < (all ? 1 : w.P) && !err; p++)
			err = multiply(call, cuda,
				       product<T, float>{true, false, a.n, b.n, rows,
							 a.at(p * w.E, s), a.ld, span_a * a.ld,
							 b.at(p * w.E, s), b.ld, span_b * b.ld, dw,
							 b.n, a.n * b.n, w.E, 1, 1});
	}
	return err;
}

/* Rows (source, slot) of an expert. */
template <class T> struct expert_rows
{
	pieces<T> x;
	size_t E, lo, span, columns;

	template <int V> __device__ pack<V> at(size_t e, size_t row, size_t column) const
	{
		return load<V>(x.row(row / span * E + e, lo + row % span, columns) + column);
	}
};

template <class T>
static int add_bias_gradient(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			     const weight_pass<T> &w, const pieces<T> &d, size_t columns,
			     float *partial, float *db)
{
	size_t span = w.hi - w.lo;
	expert_rows<T> f = {d, w.E, w.lo, span, columns};

	return db ? add_columns(call, cuda, f, w.P * span, columns, w.E, aligned(d), partial, db)
		  : 0;
}

template <class T> static T *take_scratch(scratch *s, const weight_pass<T> &w, float **partial)
{
	size_t rows = w.P * (w.hi - w.lo);
	size_t in = column_partials(rows, w.H, w.E), out = column_partials(rows, w.M, w.E);
	T *h = s->take<T>(rows * w.E * w.H);

	*partial = s->take<float>(in > out ? in : out);
	return h;
}

template <class T> static size_t weight_scratch(const struct fsmoe_call *call)
{
	weight_pass<T> w = {};
	scratch s = {};
	float *partial;

	if (weight_pass_of(call, &w) == 0)
		take_scratch(&s, w, &partial);
	return s.used;
}

template <class T>
static int backward_weight(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	scratch room = scratch_of(cuda);
	weight_pass<T> w = {};
	float *partial, *dout;
	int err = weight_pass_of(call, &w);

	if (err)
		return err;
	w.h = take_scratch(&room, w, &partial);
	dout = float_at(call, w.d.out);
	for (size_t j = 0; j < w.d.nin && !err; j++)
		if (w.d.in[j] >= 0)
			err = add_products(call, cuda, w, {w.dz, j * w.H, w.H, w.Z},
					   {w.x, 0, w.M, w.M}, float_at(call, w.d.in[j]));
	if (!err)
		err = add_bias_gradient(call, cuda, w, w.dz, w.Z, partial,
					float_at(call, w.d.in_bias));
	if (dout && !err)
	{
		size_t span = w.hi - w.lo;
		activate<void, T> f = {w.z, nullptr, w.h, w.E, w.lo, span, w.H, w.Z};
		pieces<T> h = {1, {w.lo, w.hi}, {w.h}};
		err = activated(call, cuda, *w.net, f, w.P * w.E * span);
		if (!err)
			err = add_products(call, cuda, w, {w.dy, 0, w.M, w.M}, {h, 0, w.H, w.H},
					   dout);
	}
	if (!err)
		err = add_bias_gradient(call, cuda, w, w.dy, w.M, partial,
					float_at(call, w.d.out_bias));
	return err;
}

CUDA_KERNELS(ffn, forward)
CUDA_KERNELS(ffn_backward_input, backward_input)
CUDA_KERNELS(ffn_backward_weight, backward_weight)
CUDA_SCRATCH(ffn, forward_scratch)
CUDA_SCRATCH(ffn_backward_weight, weight_scratch)
