/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/attention.h"
#include "codelets/cuda/attention_fused.cuh"
#include "codelets/cuda/product.cuh"
#include "codelets/cuda/softmax.cuh"

/*
 * Products by cuBLAS, strided batched over heads and looped over sequences, or the other way round
 * where there are more sequences; softmax in between. Squares of scores are scratch, as
 * many at a time as SQUARES elements hold. Where the rows of a sequence do not lie one after
 * another, all are gathered into scratch first.
 */
static constexpr size_t SQUARES = (size_t)1 << 26;

/* --- which sequence and head, where ---------------------------------------------------------- */

/* `inner` squares by one call, or as many of them as may be, and `outer` times that. Of a matrix of
 * `width` heads' columns (3 for qkv) square (o, i) starts at o * outer_step(width) + i *
 * inner_step(width), of the rows' stats at o * outer_rows() + i * inner_rows(). */
struct loops
{
	size_t S, D, HD, outer, inner;
	bool heads_inside, all; /* all: bidirectional */

	size_t step(bool head, size_t width) const
	{
		return head ? D : S * width * HD;
	}
	size_t outer_step(size_t width) const
	{
		return step(!heads_inside, width);
	}
	size_t inner_step(size_t width) const
	{
		return step(heads_inside, width);
	}
	/* Rows of (batch * heads, S). */
	size_t outer_rows() const
	{
		return (heads_inside ? inner : 1) * S;
	}
	size_t inner_rows() const
	{
		return (heads_inside ? 1 : outer) * S;
	}
	/* Squares by one call. */
	size_t at_once() const
	{
		size_t most = SQUARES / (S * S);
		return most < 1 ? 1 : most < inner ? most : inner;
	}
};

static loops loops_of(const struct fsmoe_attention_args *a)
{
	bool heads_inside = a->heads >= a->batch;
	size_t HD = a->heads * a->head_dim;

	return loops{a->seq,
		     a->head_dim,
		     HD,
		     heads_inside ? a->batch : a->heads,
		     heads_inside ? a->heads : a->batch,
		     heads_inside,
		     a->bidirectional != 0};
}

static const struct fsmoe_attention_args *args_of(const struct fsmoe_call *call)
{
	return static_cast<const struct fsmoe_attention_args *>(call->args);
}

/* --- rows in `parts` pieces ------------------------------------------------------------------ */

/* Row (sequence, part, i) of `whole` is row (part, sequence, i) of `pieces`. */
template <class T> struct regroup
{
	const T *from;
	T *to;
	size_t batch, parts, rows, columns; /* rows: of a part */
	bool gather;

	template <int V> __device__ void run(size_t row, size_t column) const
	{
		size_t r = row % rows, rest = row / rows;
		size_t part = rest % parts, sequence = rest / parts;
		size_t i = row * columns + column;
		size_t piece = ((part * batch + sequence) * rows + r) * columns + column;
		store<V>(to + (gather ? i : piece), load<V>(from + (gather ? piece : i)));
	}
};

template <class T>
static int regrouped(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, bool gather,
		     size_t columns, const T *from, T *to)
{
	const struct fsmoe_attention_args *a = args_of(call);
	regroup<T> f = {from, to, a->batch, a->parts, a->seq / a->parts, columns, gather};

	return map_rows(call, cuda, f, a->batch * a->seq, columns, aligned(from, to));
}

/* --- some squares ---------------------------------------------------------------------------- */

/* Arguments of a pass, moved from square to square, and its scratch: scores (n, S, S) and
 * probabilities, which replace the scores in a float run's forward pass. */
template <class T> struct pass
{
	const T *qkv, *dy;
	T *y, *dqkv;
	float2 *stats;
	float *scores;
	T *probs;

	pass at(const loops &l, size_t o, size_t i) const
	{
		const size_t three = o * l.outer_step(3) + i * l.inner_step(3);
		const size_t one = o * l.outer_step(1) + i * l.inner_step(1);
		pass p = *this;

		p.qkv += three;
		p.y = y ? y + one : nullptr;
		p.stats += o * l.outer_rows() + i * l.inner_rows();
		p.dy = dy ? dy + one : nullptr;
		p.dqkv = dqkv ? dqkv + three : nullptr;
		return p;
	}
};

/* A row sees columns up to its own: products go over strips of rows, which stop where the last of
 * them does, and leave out almost half of a large square. What is too small for a GPU is not
 * cut. */
static size_t strip_height(const loops &l)
{
	constexpr size_t most = 8, step = 256, enough = (size_t)1 << 23;
	const size_t work = enough / (l.at_once() * l.S);
	const size_t height = l.S / most > work ? l.S / most : work;

	return l.all ? l.S : (height + step - 1) / step * step;
}

/* f(at, n, end) for rows, or columns, at .. at + n: columns before `end` are seen by such rows, and
 * such columns by rows from `at` on. */
template <class F> static int each_strip(const loops &l, const F &f)
{
	const size_t height = strip_height(l);
	int err = 0;

	for (size_t at = 0; at < l.S && !err; at += height)
	{
		const size_t end = at + height < l.S ? at + height : l.S;
		err = f(at, end - at, end);
	}
	return err;
}

/* Scores, then probabilities; `again`: by the rows' stats that the forward kept. */
template <bool again, class T>
static int probabilities(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			 const loops &l, const pass<T> &p, size_t n)
{
	const size_t S = l.S, row = 3 * l.HD, step = l.inner_step(3);
	const float scale = 1 / sqrtf((float)l.D);
	int err = each_strip(l, [&](size_t at, size_t rows, size_t end) {
		return multiply(call, cuda,
				product(rows, end, l.D, plain(p.qkv + at * row, row, step),
					transposed(p.qkv + l.HD, row, step),
					into(p.scores + at * S, S, S * S), n, 0, scale));
	});

	return err ? err
		   : softmax<again>(call, cuda, squares{n, S, strip_height(l), l.all}, p.scores,
				    p.probs, p.stats, l.inner_rows());
}

template <class T>
static int forward_some(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			const loops &l, const pass<T> &p, size_t n)
{
	const size_t S = l.S, HD = l.HD;
	const T *v = p.qkv + 2 * HD;
	int err = probabilities<false>(call, cuda, l, p, n);

	return err ? err : each_strip(l, [&](size_t at, size_t rows, size_t end) {
		return multiply(call, cuda,
				product(rows, l.D, end, plain(p.probs + at * S, S, S * S),
					plain(v, 3 * HD, l.inner_step(3)),
					into(p.y + at * HD, HD, l.inner_step(1)), n));
	});
}

/* x (S, D of 3 HD) = square^T of y, by strips of the square's columns. */
template <class T>
static int by_columns(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const loops &l,
		      const T *square, const T *y, size_t row_y, size_t step_y, T *x, size_t n)
{
	const size_t S = l.S, row = 3 * l.HD;

	return each_strip(l, [&](size_t at, size_t columns, size_t) {
		return multiply(call, cuda,
				product(columns, l.D, S - at,
					transposed(square + at * S + at, S, S * S),
					plain(y + at * row_y, row_y, step_y),
					into(x + at * row, row, l.inner_step(3)), n));
	});
}

template <class T>
static int backward_some(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			 const loops &l, const pass<T> &p, size_t n)
{
	const T *q = p.qkv, *k = q + l.HD, *v = k + l.HD;
	T *dq = p.dqkv, *dk = dq + l.HD, *dv = dk + l.HD;
	const size_t S = l.S, HD = l.HD, row = 3 * HD, step = l.inner_step(3);
	const size_t step_y = l.inner_step(1);
	int err = probabilities<true>(call, cuda, l, p, n);

	if (!err)
		err = by_columns(call, cuda, l, p.probs, p.dy, HD, step_y, dv, n);
	if (!err)
		err = each_strip(l, [&](size_t at, size_t rows, size_t end) {
			return multiply(call, cuda,
					product(rows, end, l.D, plain(p.dy + at * HD, HD, step_y),
						transposed(v, row, step),
						into(p.scores + at * S, S, S * S), n));
		});
	if (!err)
		err = softmax_gradient(call, cuda, squares{n, S, strip_height(l), l.all}, p.probs,
				       p.scores, 1 / sqrtf((float)l.D));
	if (!err)
		err = each_strip(l, [&](size_t at, size_t rows, size_t end) {
			return multiply(call, cuda,
					product(rows, l.D, end, plain(p.probs + at * S, S, S * S),
						plain(k, row, step), into(dq + at * row, row, step),
						n));
		});
	return err ? err
		   : by_columns(call, cuda, l, static_cast<const T *>(p.probs), q, row, step, dk,
				n);
}

/* --- all of them ----------------------------------------------------------------------------- */

/* Scratch holds squares, or what fused kernels want; then gathered rows. */
template <class T> struct room
{
	bool fused; /* one kernel a pass: attention_fused.cuh */
	struct fused_backward backward;
	float *scores;
	T *probs, *qkv, *dqkv, *y, *dy;
};

template <class T>
static room<T> room_of(const struct fsmoe_attention_args *a, scratch *s, bool backward)
{
	const loops l = loops_of(a);
	size_t T_rows = a->batch * a->seq, squares = l.at_once() * l.S * l.S;
	room<T> r = {};

	r.fused = sizeof(T) == sizeof(bf16) && fused_attention_fits(a);
	if (r.fused && backward)
		r.backward = fused_backward_of(a, s);
	if (!r.fused)
	{
		r.scores = s->take<float>(squares);
		r.probs = backward || sizeof(T) < sizeof(float) ? s->take<T>(squares)
								: reinterpret_cast<T *>(r.scores);
	}
	if (!fsmoe_attention_gathers(a))
		return r;
	r.qkv = s->take<T>(T_rows * 3 * l.HD);
	r.dqkv = backward ? s->take<T>(T_rows * 3 * l.HD) : nullptr;
	(backward ? r.dy : r.y) = s->take<T>(T_rows * l.HD);
	return r;
}

template <class T, int (*some)(const struct fsmoe_call *, const struct fsmoe_cuda *, const loops &,
			       const pass<T> &, size_t)>
static int all_squares(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		       const pass<T> &p)
{
	const loops l = loops_of(args_of(call));
	const size_t most = l.at_once();
	int err = 0;

	for (size_t o = 0; o < l.outer && !err; o++)
		for (size_t i = 0; i < l.inner && !err; i += most)
			err = some(call, cuda, l, p.at(l, o, i),
				   l.inner - i < most ? l.inner - i : most);
	return err;
}

template <class T>
static int forward_all(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		       const room<T> &r, const pass<T> &p)
{
	if constexpr (sizeof(T) == sizeof(bf16))
		if (r.fused)
			return fused_attention_forward(call, cuda, p.qkv, p.y, p.stats);
	return all_squares<T, forward_some<T>>(call, cuda, p);
}

template <class T>
static int backward_all(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			const room<T> &r, const pass<T> &p)
{
	if constexpr (sizeof(T) == sizeof(bf16))
		if (r.fused)
			return fused_attention_backward(call, cuda, r.backward, p.qkv, p.stats,
							p.dy, p.dqkv);
	return all_squares<T, backward_some<T>>(call, cuda, p);
}

template <class T> static size_t forward_scratch(const struct fsmoe_call *call)
{
	scratch s = {};

	room_of<T>(args_of(call), &s, false);
	return s.used;
}

template <class T> static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_attention_args *a = args_of(call);
	size_t HD = a->heads * a->head_dim;
	scratch s = scratch_of(cuda);
	const room<T> r = room_of<T>(a, &s, false);
	pass<T> p = {};

	p.qkv = data_of<const T>(call, 0);
	p.y = data_of<T>(call, 1);
	p.stats = data_of<float2>(call, 2);
	p.scores = r.scores;
	p.probs = r.probs;
	if (!fsmoe_attention_gathers(a))
		return forward_all(call, cuda, r, p);

	int err = regrouped(call, cuda, true, 3 * HD, p.qkv, r.qkv);
	p.qkv = r.qkv;
	p.y = r.y;
	if (!err)
		err = forward_all(call, cuda, r, p);
	return err ? err
		   : regrouped(call, cuda, false, HD, static_cast<const T *>(r.y),
			       data_of<T>(call, 1));
}

template <class T> static size_t backward_scratch(const struct fsmoe_call *call)
{
	scratch s = {};

	room_of<T>(args_of(call), &s, true);
	return s.used;
}

template <class T> static int backward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_attention_args *a = args_of(call);
	size_t HD = a->heads * a->head_dim;
	scratch s = scratch_of(cuda);
	const room<T> r = room_of<T>(a, &s, true);
	pass<T> p = {};

	p.qkv = data_of<const T>(call, 0);
	p.stats = data_of<float2>(call, 1);
	p.dy = data_of<const T>(call, 2);
	p.dqkv = data_of<T>(call, 3);
	p.scores = r.scores;
	p.probs = r.probs;
	if (!fsmoe_attention_gathers(a))
		return backward_all(call, cuda, r, p);

	int err = regrouped(call, cuda, true, 3 * HD, p.qkv, r.qkv);
	if (!err)
		err = regrouped(call, cuda, true, HD, p.dy, r.dy);
	p.qkv = r.qkv;
	p.dy = r.dy;
	p.dqkv = r.dqkv;
	if (!err)
		err = backward_all(call, cuda, r, p);
	return err ? err
		   : regrouped(call, cuda, false, 3 * HD, static_cast<const T *>(r.dqkv),
			       data_of<T>(call, 3));
}

CUDA_KERNELS(attention, forward)
CUDA_KERNELS(attention_backward, backward)
CUDA_SCRATCH(attention, forward_scratch)
CUDA_SCRATCH(attention_backward, backward_scratch)
