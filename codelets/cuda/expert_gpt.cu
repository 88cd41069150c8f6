/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_gpt.h"
#include "codelets/cuda/gelu.cuh"
#include "codelets/cuda/pieces.cuh"
#include "codelets/cuda/reduce.cuh"

/*
 * Products are strided batched over the experts, once per source; with one expert the rows of all
 * sources are one product. The ports for scratch that the rows of this operation declare hold a
 * block of the CPU's; a GPU wants whole chunks, from the lane's scratch.
 */

/* A chunk (P, E, c, ...): `runs` products of `rows` rows for each of `experts`. */
struct sizes
{
	size_t P, E, c, M, H;
	size_t runs, rows;

	size_t total() const
	{
		return P * E * c;
	}
};

static sizes sizes_of(const struct fsmoe_tensor_info *x, size_t H)
{
	const size_t *d = x->shape.dim;
	bool one = d[1] == 1;

	return sizes{d[0], d[1], d[2], d[3], H, one ? 1 : d[0], one ? d[0] * d[2] : d[2]};
}

/* y = x op(w) for every expert: x rows of K, y rows of N; w (N, K), or (K, N) when not transposed. */
static int forward_product(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			   const sizes &s, bool trans, const float *x, size_t K, const float *w,
			   float *y, size_t N)
{
	int err = 0;

	for (size_t r = 0; r < s.runs && !err; r++)
		err = multiply(call, cuda,
			       product{false, trans, s.rows, N, K, x + r * s.E * s.rows * K, K,
				       s.rows * K, w, trans ? K : N, N * K,
				       y + r * s.E * s.rows * N, N, s.rows * N, s.E, 1, 0});
	return err;
}

/* --- forward -------------------------------------------------------------------------------- */

static bool is_relu(const struct fsmoe_expert_args &net)
{
	return net.activation == FSMOE_FFN_RELU;
}

static __device__ float act_value(bool relu, float z)
{
	return relu ? (z > 0 ? z : 0) : gelu_value(z);
}

static __device__ float act_slope(bool relu, float z)
{
	return relu ? (z > 0 ? 1 : 0) : gelu_slope(z);
}

/* z += b1 and h = act(z) in one pass. Row r is of expert r / c % E. */
struct bias_act
{
	const float *b1; /* (E, H), or NULL */
	float *z, *h;    /* (P, E, c, H) */
	size_t E, c, H;
	bool relu;

	template <int V> __device__ void run(size_t row, size_t column) const
	{
		size_t i = row * H + column;
		pack<V> a = load<V>(z + i), b = {}, g;
		if (b1)
			b = load<V>(b1 + row / c % E * H + column);
		for (int j = 0; j < V; j++)
		{
			a.v[j] += b.v[j];
			g.v[j] = act_value(relu, a.v[j]);
		}
		store<V>(z + i, a);
		store<V>(h + i, g);
	}
};

struct add_bias
{
	const float *b2; /* (E, M) */
	float *y;        /* (P, E, c, M) */
	size_t E, c, M;

	template <int V> __device__ void run(size_t row, size_t m) const
	{
		pack<V> a = load<V>(y + row * M + m), b = load<V>(b2 + row / c % E * M + m);
		for (int j = 0; j < V; j++)
			a.v[j] += b.v[j];
		store<V>(y + row * M + m, a);
	}
};

extern "C" size_t fsmoe_expert_gpt_cuda_scratch(const struct fsmoe_call *call)
{
	return fsmoe_count(call->tensor[6]) * sizeof(float);
}

extern "C" int fsmoe_expert_gpt_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const sizes s = sizes_of(call->tensor[0], fsmoe_columns(call->tensor[6]));
	const float *x = data_of<const float>(call, 0);
	const float *w1 = data_of<const float>(call, 1); /* (E, H, M) */
	const float *w2 = data_of<const float>(call, 3); /* (E, M, H) */
	float *h = static_cast<float *>(cuda->scratch);
	bias_act hidden = {data_of<const float>(call, 2),
			   data_of<float>(call, 6),
			   h,
			   s.E,
			   s.c,
			   s.H,
			   is_relu(*static_cast<const struct fsmoe_expert_args *>(call->args))};
	add_bias out = {data_of<const float>(call, 4), data_of<float>(call, 5), s.E, s.c, s.M};
	int err = forward_product(call, cuda, s, true, x, s.M, w1, hidden.z, s.H);

	if (!err)
		err = map_rows(call, cuda, hidden, s.total(), s.H, aligned(hidden.b1, hidden.z, h));
	if (!err)
		err = forward_product(call, cuda, s, true, h, s.H, w2, out.y, s.M);
	if (!err && out.b2)
		err = map_rows(call, cuda, out, s.total(), s.M, aligned(out.b2, out.y));
	return err;
}

/* --- backward: the input -------------------------------------------------------------------- */

/* dz *= act'(z), z in the pieces in which it was saved. Row (p, e, s) of [lo, lo + c). */
struct chain
{
	pieces z;
	float *dz; /* (P, E, c, H) */
	size_t lo, c, H;
	bool relu;

	template <int V> __device__ void run(size_t row, size_t column) const
	{
		const float *from = z.row(row / c, lo + row % c, H) + column;
		pack<V> a = load<V>(from), g = load<V>(dz + row * H + column);
		for (int j = 0; j < V; j++)
			g.v[j] *= act_slope(relu, a.v[j]);
		store<V>(dz + row * H + column, g);
	}
};

extern "C" int fsmoe_expert_gpt_backward_input_cuda(const struct fsmoe_call *call,
						    const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_expert_input_args *a =
		static_cast<const struct fsmoe_expert_input_args *>(call->args);
	const sizes s = sizes_of(call->tensor[0], fsmoe_columns(call->tensor[4]));
	const float *dy = data_of<const float>(call, 0), *w1 = data_of<const float>(call, 1);
	const float *w2 = data_of<const float>(call, 2);
	chain f = {{}, data_of<float>(call, 4), a->lo, s.c, s.H, is_relu(a->net)};
	int err = pieces_of(call, a->n, a->at, 5, &f.z);

	if (!err)
		err = forward_product(call, cuda, s, false, dy, s.M, w2, f.dz, s.H);
	if (!err)
		err = map_rows(call, cuda, f, s.total(), s.H, aligned(f.z) && aligned(f.dz));
	return err ? err
		   : forward_product(call, cuda, s, false, f.dz, s.H, w1, data_of<float>(call, 3),
				     s.M);
}

/* --- backward: the weights ------------------------------------------------------------------ */

struct weight_pass
{
	size_t P, E, M, H, lo, hi;
	pieces x, z, dy, dz;
	float *h; /* (P, E, hi - lo, H): act(z) of the slots of this node */
	bool relu;
};

static int weight_pass_of(const struct fsmoe_call *call, weight_pass *w)
{
	const struct fsmoe_expert_weight_args *a =
		static_cast<const struct fsmoe_expert_weight_args *>(call->args);
	size_t nf = a->forward, nb = a->backward;
	const size_t *forward = a->at, *backward = a->at + nf + 1;
	const struct fsmoe_tensor_info *x = call->tensor[5];

	w->P = x->shape.dim[0];
	w->E = x->shape.dim[1];
	w->M = fsmoe_columns(x);
	w->H = fsmoe_columns(call->tensor[5 + nf]);
	w->lo = backward[0];
	w->hi = backward[nb];
	w->relu = is_relu(a->net);
	if (pieces_of(call, nf, forward, 5, &w->x) || pieces_of(call, nf, forward, 5 + nf, &w->z) ||
	    pieces_of(call, nb, backward, 5 + 2 * nf, &w->dy) ||
	    pieces_of(call, nb, backward, 5 + 2 * nf + nb, &w->dz))
		return -EINVAL;
	return 0;
}

struct activate
{
	pieces z;
	float *h;
	size_t lo, span, H;
	bool relu;

	template <int V> __device__ void run(size_t row, size_t column) const
	{
		pack<V> a = load<V>(z.row(row / span, lo + row % span, H) + column);
		for (int j = 0; j < V; j++)
			a.v[j] = act_value(relu, a.v[j]);
		store<V>(h + row * H + column, a);
	}
};

/* dw (E, m, n) += a^T b, added up over the sources and over [lo, hi) in steps that lie in one piece
 * of both: a rows of m columns, b rows of n. */
static int add_products(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			const weight_pass &w, const pieces &a, size_t m, const pieces &b, size_t n,
			float *dw)
{
	for (size_t s = w.lo, end; s < w.hi; s = end)
	{
		size_t ia = a.find(s), ib = b.find(s);
		size_t span_a = a.at[ia + 1] - a.at[ia], span_b = b.at[ib + 1] - b.at[ib];
		end = a.at[ia + 1] < b.at[ib + 1] ? a.at[ia + 1] : b.at[ib + 1];
		end = end < w.hi ? end : w.hi;

		/* Whole pieces of one expert: the rows of all sources lie together. */
		bool all = w.E == 1 && end - s == span_a && end - s == span_b;
		size_t rows = all ? w.P * (end - s) : end - s;
		for (size_t p = 0; p < (all ? 1 : w.P); p++)
		{
			product g = {true, false,      m,
				     n,    rows,       a.row(p * w.E, s, m),
				     m,    span_a * m, b.row(p * w.E, s, n),
				     n,    span_b * n, dw,
				     n,    m * n,      w.E,
				     1,    1};
			int err = multiply(call, cuda, g);
			if (err)
				return err;
		}
	}
	return 0;
}

/* Rows (source, slot) of an expert. */
struct expert_rows
{
	pieces x;
	size_t E, lo, span, columns;

	__device__ float operator()(size_t e, size_t row, size_t column) const
	{
		return x.row(row / span * E + e, lo + row % span, columns)[column];
	}
};

static int add_bias_gradient(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			     const weight_pass &w, const pieces &d, size_t columns, float *partial,
			     float *db)
{
	size_t span = w.hi - w.lo;
	expert_rows f = {d, w.E, w.lo, span, columns};

	return add_columns(call, cuda, f, w.P * span, columns, w.E, partial, db);
}

static float *take_scratch(scratch *s, const weight_pass &w, float **partial)
{
	size_t rows = w.P * (w.hi - w.lo), widest = w.M > w.H ? w.M : w.H;
	float *h = s->take<float>(rows * w.E * w.H);

	*partial = s->take<float>(column_partials(rows, widest, w.E));
	return h;
}

extern "C" size_t fsmoe_expert_gpt_backward_weight_cuda_scratch(const struct fsmoe_call *call)
{
	weight_pass w = {};
	scratch s = {};
	float *partial;

	if (weight_pass_of(call, &w) == 0)
		take_scratch(&s, w, &partial);
	return s.used;
}

extern "C" int fsmoe_expert_gpt_backward_weight_cuda(const struct fsmoe_call *call,
						     const struct fsmoe_cuda *cuda)
{
	float *dw1 = data_of<float>(call, 0), *db1 = data_of<float>(call, 1);
	float *dw2 = data_of<float>(call, 2), *db2 = data_of<float>(call, 3), *partial;
	scratch room = scratch_of(cuda);
	weight_pass w = {};
	int err = weight_pass_of(call, &w);

	if (err)
		return err;
	w.h = take_scratch(&room, w, &partial);
	if (dw1)
		err = add_products(call, cuda, w, w.dz, w.H, w.x, w.M, dw1);
	if (db1 && !err)
		err = add_bias_gradient(call, cuda, w, w.dz, w.H, partial, db1);
	if (dw2 && !err)
	{
		activate f = {w.z, w.h, w.lo, w.hi - w.lo, w.H, w.relu};
		pieces h = {1, {w.lo, w.hi}, {w.h}};
		err = map_rows(call, cuda, f, w.P * w.E * f.span, w.H,
			       aligned(w.z) && aligned(w.h));
		if (!err)
			err = add_products(call, cuda, w, w.dy, w.M, h, w.H, dw2);
	}
	if (db2 && !err)
		err = add_bias_gradient(call, cuda, w, w.dy, w.M, partial, db2);
	return err;
}
