/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/expert_ffn.cuh"
#include "codelets/cuda/product.cuh"
#include "codelets/cuda/reduce.cuh"

/*
 * Gradients of the weights. A product over all rows of an expert is faster than the same by source,
 * and much faster than by source and chunk, since every one of them reads and writes sums in float:
 * M 2048, H 8192, 9824 rows on an H100 take 0.48 ms in one product, 0.57 in two; either matrix in
 * of M 4096, H 14336 1.67 and 1.87 ms. So dz lies by expert, act(z) is laid out so as it is
 * computed anew, and what travelled, x and dy, which are narrow, is copied. Of more than two chunks
 * dz is copied together as well.
 */

/* Rows of slots in pieces, each (P, E, c, columns) or (E, P, c, columns). */
template <class T> struct chunks
{
	pieces<T> p;
	size_t columns, next_source, next_expert; /* in blocks of c rows */
};

template <class T> struct weight_pass
{
	const struct fsmoe_expert_args *net;
	weights d;
	size_t P, E, M, H, Z, lo, hi;
	chunks<T> x, z, dy, dz;

	size_t rows() const /* of an expert */
	{
		return P * (hi - lo);
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
	w->x = w->dy = {{}, w->M, w->E, 1};
	w->z = w->dz = {{}, w->Z, 1, w->P};
	if (pieces_of(call, nf, forward, X, &w->x.p) ||
	    pieces_of(call, nf, forward, X + nf, &w->z.p) ||
	    pieces_of(call, nb, backward, X + 2 * nf, &w->dy.p) ||
	    pieces_of(call, nb, backward, X + 2 * nf + nb, &w->dz.p))
		return -EINVAL;
	return 0;
}

/* --- rows by expert -------------------------------------------------------------------------- */

/* Slots of a layer whose rows are taken by one product. */
struct range
{
	size_t lo, hi;
};

/* Row (e, p, s) of a part. */
template <class T> struct gather_rows
{
	chunks<T> from;
	T *to; /* (E, P, span, columns) */
	size_t P, lo, span;

	template <int V> __device__ void run(size_t row, size_t k) const
	{
		size_t b = row / span, block = b % P * from.next_source + b / P * from.next_expert;
		const T *at = from.p.row(block, lo + row % span, from.columns);

		store<V>(to + row * from.columns + k, load<V>(at + k));
	}
};

/* The rows of a part lie so already: known without data, for scratch is counted before there is
 * any. */
template <class T> static bool in_place(const weight_pass<T> &w, const chunks<T> &from, range part)
{
	size_t i = from.p.find(part.lo);
	bool whole = from.p.at[i] == part.lo && from.p.at[i + 1] == part.hi;

	return whole && (from.next_source == 1 || w.P == 1);
}

/* Address of a part's rows: where they are, or `room` after copying them there. */
template <class T>
static int by_expert(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		     const weight_pass<T> &w, const chunks<T> &from, range part, T *room,
		     const T **at)
{
	const gather_rows<T> f = {from, room, w.P, part.lo, part.hi - part.lo};

	*at = in_place(w, from, part) ? from.p.data[from.p.find(part.lo)] : room;
	if (*at != room)
		return 0;
	return map_rows(call, cuda, f, w.E * w.P * f.span, from.columns,
			aligned(from.p) && aligned(room));
}

/* dw (E, na, nb) = keep * dw + a^T b; a and b are columns of rows lda and ldb long, by expert. */
template <class T>
static int add_product(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, size_t E,
		       size_t rows, const T *a, size_t na, size_t lda, const T *b, size_t nb,
		       size_t ldb, int dw, float keep)
{
	return multiply(call, cuda,
			product(na, nb, rows, transposed(a, lda, rows * lda),
				plain(b, ldb, rows * ldb),
				into(data_of<float>(call, (size_t)dw), nb, na * nb), E, keep));
}

/* --- biases ---------------------------------------------------------------------------------- */

/* Rows (source, slot) of an expert. */
template <class T> struct expert_rows
{
	chunks<T> x;
	size_t lo, span;

	template <int V> __device__ pack<V> at(size_t e, size_t row, size_t column) const
	{
		size_t block = row / span * x.next_source + e * x.next_expert;

		return load<V>(x.p.row(block, lo + row % span, x.columns) + column);
	}
};

template <class T>
static int add_bias_gradient(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			     const weight_pass<T> &w, const chunks<T> &d, float *partial, float *db)
{
	expert_rows<T> f = {d, w.lo, w.hi - w.lo};

	return db ? add_columns(call, cuda, f, w.rows(), d.columns, w.E, aligned(d.p), partial, db)
		  : 0;
}

/* --- all of them ----------------------------------------------------------------------------- */

/* dz is taken chunk by chunk, or copied together. */
template <class T> static size_t count_parts(const weight_pass<T> &w)
{
	return w.dz.p.n <= 2 ? w.dz.p.n : 1;
}

template <class T> static range part_of(const weight_pass<T> &w, size_t i)
{
	return count_parts(w) == 1 ? range{w.lo, w.hi} : range{w.dz.p.at[i], w.dz.p.at[i + 1]};
}

template <class T> struct room
{
	T *narrow, *wide; /* rows of M, of H or Z */
	float *partial;
};

template <class T> static room<T> take_room(scratch *s, const weight_pass<T> &w)
{
	size_t in = column_partials(w.rows(), w.H, w.E), out = column_partials(w.rows(), w.M, w.E);
	bool narrow = !in_place(w, w.dy, {w.lo, w.hi}), wide = false;
	room<T> r = {};

	for (size_t i = 0; i < count_parts(w); i++)
	{
		narrow = narrow || !in_place(w, w.x, part_of(w, i));
		wide = wide || !in_place(w, w.dz, part_of(w, i));
	}
	r.wide = s->take<T>(w.rows() * w.E * (wide ? w.Z : w.H));
	if (narrow)
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

	for (size_t i = 0; i < count_parts(w) && !err; i++)
	{
		const range part = part_of(w, i);
		size_t rows = w.P * (part.hi - part.lo);

		err = by_expert(call, cuda, w, w.x, part, r.narrow, &x);
		if (!err)
			err = by_expert(call, cuda, w, w.dz, part, r.wide, &dz);
		for (size_t j = 0; j < w.d.nin && !err; j++)
			if (w.d.in[j] >= 0)
				err = add_product(call, cuda, w.E, rows, dz + j * w.H, w.H, w.Z, x,
						  w.M, w.M, w.d.in[j],
						  i ? 1 : kept(call, (size_t)w.d.in[j]));
	}
	return err;
}

template <class T>
static int matrix_out(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		      const weight_pass<T> &w, const room<T> &r)
{
	const activate<void, T> act = {w.z.p, nullptr, r.wide, w.P, w.lo, w.hi - w.lo, w.H, w.Z};
	const T *h = r.wide, *dy;
	int err;

	if (w.d.out < 0)
		return 0;
	err = activated(call, cuda, *w.net, act, w.E * w.rows());
	if (!err)
		err = by_expert(call, cuda, w, w.dy, range{w.lo, w.hi}, r.narrow, &dy);
	return err ? err
		   : add_product(call, cuda, w.E, w.rows(), dy, w.M, w.M, h, w.H, w.H, w.d.out,
				 kept(call, (size_t)w.d.out));
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
		err = add_bias_gradient(call, cuda, w, w.dz, r.partial,
					float_at(call, w.d.in_bias));
	if (!err)
		err = matrix_out(call, cuda, w, r);
	if (!err)
		err = add_bias_gradient(call, cuda, w, w.dy, r.partial,
					float_at(call, w.d.out_bias));
	return err;
}

CUDA_KERNELS(ffn_backward_weight, backward_weight)
CUDA_SCRATCH(ffn_backward_weight, weight_scratch)
