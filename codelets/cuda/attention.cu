/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/attention.h"
#include "codelets/cuda/product.cuh"
#include "codelets/cuda/reduce.cuh"

/*
 * Products by cuBLAS over whole squares, strided batched over heads and looped over sequences, or
 * the other way round where there are more sequences; softmax in between. Where the rows of a
 * sequence do not lie one after another, all are gathered into scratch first.
 */

/* (S, S) matrices, `step` elements apart. */
template <class X> struct squares
{
	X *x;
	size_t step;

	__device__ X *row(size_t r, size_t S) const
	{
		return x + r / S * step + r % S * S;
	}
};

/* How many columns row i of a square sees: those up to its own, or all. */
static __device__ __forceinline__ size_t seen(size_t i, size_t S, bool all)
{
	return all ? S : i + 1;
}

/* One warp a row. A row becomes probabilities over the columns that it sees, else zero; they may
 * take the place of the scores. */
template <class P>
static __global__ void softmax_rows(squares<float> scores, squares<P> probs, size_t rows, size_t S,
				    bool all)
{
	size_t r = (size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
	unsigned lane = threadIdx.x % 32;

	if (r >= rows)
		return;
	float *row = scores.row(r, S), max = -INFINITY, sum = 0;
	P *out = probs.row(r, S);
	size_t n = seen(r % S, S, all);
	for (size_t j = lane; j < n; j += 32)
		max = fmaxf(max, row[j]);
	max = warp_max(max);
	for (size_t j = lane; j < n; j += 32)
		sum += row[j] = expf(row[j] - max);
	sum = warp_sum(sum);
	for (size_t j = lane; j < S; j += 32)
		put(out + j, j < n ? row[j] / sum : 0);
}

/* ds = p (dp - sum p dp) scale, which may take the place of dp. */
template <class P>
static __global__ void softmax_backward(squares<const P> p, squares<const float> dp, squares<P> ds,
					size_t rows, size_t S, float scale, bool all)
{
	size_t r = (size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
	unsigned lane = threadIdx.x % 32;

	if (r >= rows)
		return;
	const P *probs = p.row(r, S);
	const float *row = dp.row(r, S);
	P *out = ds.row(r, S);
	float dot = 0;
	size_t n = seen(r % S, S, all);
	for (size_t j = lane; j < n; j += 32)
		dot += get(probs[j]) * row[j];
	dot = warp_sum(dot);
	for (size_t j = lane; j < S; j += 32)
		put(out + j, j < n ? get(probs[j]) * (row[j] - dot) * scale : 0);
}

/* --- which sequence and head, where --------------------------------------------------------- */

/* `inner` squares by one call, `outer` calls. Of a matrix of `width` heads' columns (3 for qkv)
 * square (o, i) starts at o * outer_step(width) + i * inner_step(width). */
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
	/* Of (batch * heads, S, S). */
	size_t outer_square() const
	{
		return (heads_inside ? inner : 1) * S * S;
	}
	size_t inner_square() const
	{
		return (heads_inside ? 1 : outer) * S * S;
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

/* --- rows in `parts` pieces ----------------------------------------------------------------- */

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

/* --- forward -------------------------------------------------------------------------------- */

/* Scores and their gradients are float; what products read of them is T. In a float run the one
 * takes the place of the other. */
template <class T> static constexpr bool IN_PLACE = sizeof(T) == sizeof(float);

template <class T>
static int forward_one(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const loops &l,
		       const T *q, T *y, T *probs, float *scores)
{
	const T *k = q + l.HD, *v = k + l.HD;
	size_t S = l.S, row = 3 * l.HD, step = l.inner_step(3), rows = l.inner * S;
	size_t apart = IN_PLACE<T> ? l.inner_square() : S * S;
	int err = multiply(call, cuda,
			   product(S, S, l.D, plain(q, row, step), transposed(k, row, step),
				   into(scores, S, apart), l.inner, 0, 1 / sqrtf((float)l.D)));

	if (err)
		return err;
	softmax_rows<<<(unsigned)((rows + 7) / 8), 256, 0, cuda->stream>>>(
		squares<float>{scores, apart}, squares<T>{probs, l.inner_square()}, rows, S, l.all);
	err = launched(call);
	return err ? err
		   : multiply(call, cuda,
			      product(S, l.D, S, plain(probs, S, l.inner_square()),
				      plain(v, row, step), into(y, l.HD, l.inner_step(1)),
				      l.inner));
}

/* What a pass keeps in scratch, in this order. */
template <class T> struct room
{
	float *scores; /* (inner, S, S); in a float run of the forward the probabilities' place */
	T *ds;         /* (inner, S, S), of the backward */
	T *qkv, *dqkv, *y;
};

template <class T>
static room<T> room_of(const struct fsmoe_attention_args *a, scratch *s, bool backward)
{
	const loops l = loops_of(a);
	size_t T_rows = a->batch * a->seq, squares = l.inner * l.S * l.S;
	room<T> r = {};

	if (backward || !IN_PLACE<T>)
		r.scores = s->take<float>(squares);
	if (backward && !IN_PLACE<T>)
		r.ds = s->take<T>(squares);
	if (!fsmoe_attention_gathers(a))
		return r;
	r.qkv = s->take<T>(T_rows * 3 * l.HD);
	r.dqkv = backward ? s->take<T>(T_rows * 3 * l.HD) : nullptr;
	r.y = s->take<T>(T_rows * l.HD);
	return r;
}

template <class T>
static int forward_all(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
		       const room<T> &r, const T *qkv, T *y)
{
	const loops l = loops_of(args_of(call));
	T *probs = data_of<T>(call, 2);
	int err = 0;

	for (size_t o = 0; o < l.outer && !err; o++)
	{
		T *p = probs + o * l.outer_square();
		float *scores = IN_PLACE<T> ? reinterpret_cast<float *>(p) : r.scores;
		err = forward_one(call, cuda, l, qkv + o * l.outer_step(3), y + o * l.outer_step(1),
				  p, scores);
	}
	return err;
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
	const T *qkv = data_of<const T>(call, 0);
	T *y = data_of<T>(call, 1);
	scratch s = scratch_of(cuda);
	const room<T> r = room_of<T>(a, &s, false);

	if (!fsmoe_attention_gathers(a))
		return forward_all(call, cuda, r, qkv, y);

	int err = regrouped(call, cuda, true, 3 * HD, qkv, r.qkv);
	if (!err)
		err = forward_all(call, cuda, r, static_cast<const T *>(r.qkv), r.y);
	return err ? err : regrouped(call, cuda, false, HD, static_cast<const T *>(r.y), y);
}

/* --- backward ------------------------------------------------------------------------------- */

template <class T>
static int softmax_gradient(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			    const loops &l, const T *p, const float *dp, T *ds)
{
	size_t S = l.S, rows = l.inner * S;

	softmax_backward<<<(unsigned)((rows + 7) / 8), 256, 0, cuda->stream>>>(
		squares<const T>{p, l.inner_square()}, squares<const float>{dp, S * S},
		squares<T>{ds, S * S}, rows, S, 1 / sqrtf((float)l.D), l.all);
	return launched(call);
}

template <class T>
static int backward_one(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			const loops &l, const T *q, const T *p, const T *dy, T *dq,
			const room<T> &r)
{
	const T *k = q + l.HD, *v = k + l.HD;
	T *dk = dq + l.HD, *dv = dk + l.HD, *ds = r.ds;
	size_t S = l.S, row = 3 * l.HD, square = S * S, step = l.inner_step(3);
	size_t step_y = l.inner_step(1);
	int err = multiply(call, cuda,
			   product(S, l.D, S, transposed(p, S, l.inner_square()),
				   plain(dy, l.HD, step_y), into(dv, row, step), l.inner));

	if (IN_PLACE<T>)
		ds = reinterpret_cast<T *>(r.scores);
	if (!err)
		err = multiply(call, cuda,
			       product(S, S, l.D, plain(dy, l.HD, step_y), transposed(v, row, step),
				       into(r.scores, S, square), l.inner));
	if (!err)
		err = softmax_gradient(call, cuda, l, p, r.scores, ds);
	if (!err)
		err = multiply(call, cuda,
			       product(S, l.D, S, plain(ds, S, square), plain(k, row, step),
				       into(dq, row, step), l.inner));
	return err ? err
		   : multiply(call, cuda,
			      product(S, l.D, S, transposed(ds, S, square), plain(q, row, step),
				      into(dk, row, step), l.inner));
}

template <class T>
static int backward_all(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			const room<T> &r, const T *qkv, const T *dy, T *dqkv)
{
	const loops l = loops_of(args_of(call));
	const T *probs = data_of<const T>(call, 1);
	int err = 0;

	for (size_t o = 0; o < l.outer && !err; o++)
		err = backward_one(call, cuda, l, qkv + o * l.outer_step(3),
				   probs + o * l.outer_square(), dy + o * l.outer_step(1),
				   dqkv + o * l.outer_step(3), r);
	return err;
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
	const T *qkv = data_of<const T>(call, 0), *dy = data_of<const T>(call, 2);
	T *dqkv = data_of<T>(call, 3);
	scratch s = scratch_of(cuda);
	const room<T> r = room_of<T>(a, &s, true);

	if (!fsmoe_attention_gathers(a))
		return backward_all(call, cuda, r, qkv, dy, dqkv);

	int err = regrouped(call, cuda, true, 3 * HD, qkv, r.qkv);
	if (!err)
		err = regrouped(call, cuda, true, HD, dy, r.y);
	if (!err)
		err = backward_all(call, cuda, r, static_cast<const T *>(r.qkv),
				   static_cast<const T *>(r.y), r.dqkv);
	return err ? err
		   : regrouped(call, cuda, false, 3 * HD, static_cast<const T *>(r.dqkv), dqkv);
}

CUDA_KERNELS(attention, forward)
CUDA_KERNELS(attention_backward, backward)
CUDA_SCRATCH(attention, forward_scratch)
CUDA_SCRATCH(attention_backward, backward_scratch)
