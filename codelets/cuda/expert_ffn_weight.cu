/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/expert_ffn.cuh"
#include "codelets/cuda/product.cuh"
#include "codelets/cuda/reduce.cuh"

/*
 * Gradients of the weights. A product over all rows of an expert is faster than the same by source,
 * and much faster than by source and chunk, since every one of them reads and writes sums in float.
 * So act(z), which is computed anew, is laid out by expert, dy is copied so, and where there are more
 * than two products otherwise x and dz as well. Two sources do not pay for it: M 2048, H 8192, 9824
 * rows on an H100 take 0.48 ms in one product, 0.57 in two, and 0.16 of copies; of M 4096, H 14336
 * either of two matrices 1.65 and 1.84 ms, while there is 3.2 times as much to copy.
 */

template <class T> struct weight_pass
{
	const struct fsmoe_expert_args *net;
	weights d;
	size_t P, E, M, H, Z, lo, hi;
	pieces<T> x, z, dy, dz;

	size_t span() const
	{
		return hi - lo;
	}
	size_t rows() const /* of an expert */
	{
		return P * span();
	}
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

/* Up to where pieces of both reach from a slot on. */
template <class T> static size_t common_end(const weight_pass<T> &w, size_t slot)
{
	const columns_of<T> x = {w.x, 0, 0, 0}, dz = {w.dz, 0, 0, 0};
	size_t end = x.end(slot) < dz.end(slot) ? x.end(slot) : dz.end(slot);

	return end < w.hi ? end : w.hi;
}

/* Of x and dz where they lie. */
template <class T> static size_t count_products(const weight_pass<T> &w)
{
	size_t n = 0;

	for (size_t s = w.lo; s < w.hi; s = common_end(w, s))
		n += w.E == 1 ? 1 : w.P;
	return n;
}

/* dw (E, a.n, b.n) += a^T b, added up over the sources and over [lo, hi) in steps that lie in one
 * piece of both. */
template <class T>
static int add_products(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			const weight_pass<T> &w, const columns_of<T> &a, const columns_of<T> &b,
			int dw)
{
	float beta = kept(call, (size_t)dw);
	int err = 0;

	for (size_t s = w.lo, end; s < w.hi; s = end)
	{
		size_t span_a = a.span(s), span_b = b.span(s);
		end = common_end(w, s);

		/* Whole pieces of one expert: the rows of all sources lie together. */
		bool all = w.E == 1 && end - s == span_a && end - s == span_b;
		size_t rows = all ? w.P * (end - s) : end - s;
		for (size_t p = 0; p < (all ? 1 : w.P) && !err; p++, beta = 1)
			err = multiply(call, cuda,
				       product<T, float>{true, false, a.n, b.n, rows,
							 a.at(p * w.E, s), a.ld, span_a * a.ld,
							 b.at(p * w.E, s), b.ld, span_b * b.ld,
							 data_of<float>(call, (size_t)dw), b.n,
							 a.n * b.n, w.E, 1, beta});
	}
	return err;
}

/* --- rows by expert ------------------------------------------------------------------------- */

/* Row (e, p, s) of [lo, lo + span). */
template <class T> struct gather_rows
{
	pieces<T> from;
	T *to; /* (E, P, span, columns) */
	size_t P, E, lo, span, columns;

	template <int V> __device__ void run(size_t row, size_t k) const
	{
		size_t b = row / span;
		const T *at = from.row(b % P * E + b / P, lo + row % span, columns);

		store<V>(to + row * columns + k, load<V>(at + k));
	}
};

/* They lie so already. */
template <class T> static bool together(const weight_pass<T> &w, const pieces<T> &p)
{
	return p.n == 1 && p.at[0] == w.lo && p.at[1] == w.hi && (w.P == 1 || w.E == 1);
}

/* Address of all rows by expert: where they are, or `room` after copying them there. */
template <class T>
static int by_expert(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		     const weight_pass<T> &w, const pieces<T> &p, size_t columns, T *room,
		     const T **at)
{
	const gather_rows<T> f = {p, room, w.P, w.E, w.lo, w.span(), columns};

	*at = together(w, p) ? p.data[0] : room;
	return together(w, p) ? 0
			      : map_rows(call, cuda, f, w.E * w.rows(), columns,
					 aligned(p) && aligned(room));
}

/* dw (E, na, nb) += a^T b; a and b are columns of rows lda and ldb long, by expert. */
template <class T>
static int add_product(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		       const weight_pass<T> &w, const T *a, size_t na, size_t lda, const T *b,
		       size_t nb, size_t ldb, int dw)
{
	size_t rows = w.rows();

	return multiply(call, cuda,
			product<T, float>{true, false, na, nb, rows, a, lda, rows * lda, b, ldb,
					  rows * ldb, data_of<float>(call, (size_t)dw), nb, na * nb,
					  w.E, 1, kept(call, (size_t)dw)});
}

/* --- biases ----------------------------------------------------------------------------------- */

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

/* --- all of them -------------------------------------------------------------------------------- */

template <class T> struct room
{
	T *narrow, *wide; /* rows of M, of H or Z */
	float *partial;
	bool gather; /* x and dz */
};

template <class T> static room<T> take_room(scratch *s, const weight_pass<T> &w)
{
	size_t in = column_partials(w.rows(), w.H, w.E), out = column_partials(w.rows(), w.M, w.E);
	room<T> r = {};

	r.gather = count_products(w) > 2 && !(together(w, w.x) && together(w, w.dz));
	r.wide = s->take<T>(w.rows() * w.E * (r.gather ? w.Z : w.H));
	if (r.gather || !together(w, w.dy))
		r.narrow = s->take<T>(w.rows() * w.E * w.M);
	r.partial = s->take<float>(in > out ? in : out);
	return r;
}

template <class T> static size_t weight_scratch(const struct fsmoe_call *call)
{
	weight_pass<T> w = {};
	scratch s = {};

	if (weight_pass_of(call, &w) == 0)
		take_room(&s, w);
	return s.used;
}

template <class T>
static int matrices_in(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		       const weight_pass<T> &w, const room<T> &r)
{
	const T *x = nullptr, *dz = nullptr;
	int err = 0;

	if (r.gather)
		err = by_expert(call, cuda, w, w.x, w.M, r.narrow, &x);
	if (r.gather && !err)
		err = by_expert(call, cuda, w, w.dz, w.Z, r.wide, &dz);
	for (size_t j = 0; j < w.d.nin && !err; j++)
	{
		int dw = w.d.in[j];
		if (dw >= 0 && r.gather)
			err = add_product(call, cuda, w, dz + j * w.H, w.H, w.Z, x, w.M, w.M, dw);
		else if (dw >= 0)
			err = add_products(call, cuda, w, {w.dz, j * w.H, w.H, w.Z},
					   {w.x, 0, w.M, w.M}, dw);
	}
	return err;
}

template <class T>
static int matrix_out(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		      const weight_pass<T> &w, const room<T> &r)
{
	const activate<void, T> act = {w.z, nullptr, r.wide, w.P, w.E, w.lo, w.span(), w.H, w.Z};
	const T *dy;
	int err;

	if (w.d.out < 0)
		return 0;
	err = activated(call, cuda, *w.net, act, w.E * w.rows());
	if (!err)
		err = by_expert(call, cuda, w, w.dy, w.M, r.narrow, &dy);
	return err ? err
		   : add_product(call, cuda, w, dy, w.M, w.M, static_cast<const T *>(r.wide), w.H,
				 w.H, w.d.out);
}

template <class T>
static int backward_weight(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	scratch all = scratch_of(cuda);
	weight_pass<T> w = {};
	int err = weight_pass_of(call, &w);

	if (err)
		return err;
	const room<T> r = take_room(&all, w);
	err = matrices_in(call, cuda, w, r);
	if (!err)
		err = add_bias_gradient(call, cuda, w, w.dz, w.Z, r.partial,
					float_at(call, w.d.in_bias));
	if (!err)
		err = matrix_out(call, cuda, w, r);
	if (!err)
		err = add_bias_gradient(call, cuda, w, w.dy, w.M, r.partial,
					float_at(call, w.d.out_bias));
	return err;
}

CUDA_KERNELS(ffn_backward_weight, backward_weight)
CUDA_SCRATCH(ffn_backward_weight, weight_scratch)
