/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/attention.h"
#include "codelets/cuda/reduce.cuh"

/*
 * Products by cuBLAS over whole squares, strided batched over heads and looped over sequences, or
 * the other way round where there are more sequences; softmax in between. Where the rows of a
 * sequence do not lie one after another, all are gathered into scratch first.
 *
 * scratch, elements: forward   [gathered: qkv (T, 3 HD), y (T, HD)]
 *                    backward  dS (inner, S, S), [gathered: qkv, dqkv (T, 3 HD), dy (T, HD)]
 */

/* One warp a row. Row i of a square becomes probabilities over the columns up to i, else zero. */
static __global__ void softmax_rows(float *p /* (rows, S) */, size_t rows, size_t S)
{
	size_t r = (size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
	unsigned lane = threadIdx.x % 32;

	if (r >= rows)
		return;
	float *row = p + r * S, max = -INFINITY, sum = 0;
	size_t n = r % S + 1;
	for (size_t j = lane; j < n; j += 32)
		max = fmaxf(max, row[j]);
	max = warp_max(max);
	for (size_t j = lane; j < n; j += 32)
		sum += row[j] = expf(row[j] - max);
	sum = warp_sum(sum);
	for (size_t j = lane; j < S; j += 32)
		row[j] = j < n ? row[j] / sum : 0;
}

/* dP becomes dS: ds = p (dp - sum p dp) scale. */
static __global__ void softmax_backward(const float *p, /* (rows, S) */
					float *dp,      /* (rows, S) */
					size_t rows, size_t S, float scale)
{
	size_t r = (size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
	unsigned lane = threadIdx.x % 32;

	if (r >= rows)
		return;
	const float *probs = p + r * S;
	float *row = dp + r * S, dot = 0;
	size_t n = r % S + 1;
	for (size_t j = lane; j < n; j += 32)
		dot += probs[j] * row[j];
	dot = warp_sum(dot);
	for (size_t j = lane; j < S; j += 32)
		row[j] = j < n ? probs[j] * (row[j] - dot) * scale : 0;
}

/* --- which sequence and head, where --------------------------------------------------------- */

/* `inner` squares by one call, `outer` calls. Of a matrix of `width` heads' columns (3 for qkv)
 * square (o, i) starts at o * outer_step(width) + i * inner_step(width). */
struct loops
{
	size_t S, D, HD, outer, inner;
	bool heads_inside;

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
		     heads_inside};
}

static const struct fsmoe_attention_args *args_of(const struct fsmoe_call *call)
{
	return static_cast<const struct fsmoe_attention_args *>(call->args);
}

/* --- rows in `parts` pieces ----------------------------------------------------------------- */

/* Row (sequence, part, i) of `whole` is row (part, sequence, i) of `pieces`. */
struct regroup
{
	const float *from;
	float *to;
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

static int regrouped(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, bool gather,
		     size_t columns, const float *from, float *to)
{
	const struct fsmoe_attention_args *a = args_of(call);
	regroup f = {from, to, a->batch, a->parts, a->seq / a->parts, columns, gather};

	return map_rows(call, cuda, f, a->batch * a->seq, columns, aligned(from, to));
}

/* --- forward -------------------------------------------------------------------------------- */

static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const float *qkv,
		   float *y, float *probs)
{
	const loops l = loops_of(args_of(call));
	size_t S = l.S, row = 3 * l.HD, rows = l.outer * l.inner * S;
	float scale = 1 / sqrtf((float)l.D);
	int err = 0;

	for (size_t o = 0; o < l.outer && !err; o++)
	{
		const float *q = qkv + o * l.outer_step(3), *k = q + l.HD;
		err = multiply(call, cuda,
			       product{false, true, S, S, l.D, q, row, l.inner_step(3), k, row,
				       l.inner_step(3), probs + o * l.outer_square(), S,
				       l.inner_square(), l.inner, scale, 0});
	}
	if (err)
		return err;
	softmax_rows<<<(unsigned)((rows + 7) / 8), 256, 0, cuda->stream>>>(probs, rows, S);
	err = launched(call);
	for (size_t o = 0; o < l.outer && !err; o++)
	{
		const float *v = qkv + o * l.outer_step(3) + 2 * l.HD;
		err = multiply(call, cuda,
			       product{false, false, S, l.D, S, probs + o * l.outer_square(), S,
				       l.inner_square(), v, row, l.inner_step(3),
				       y + o * l.outer_step(1), l.HD, l.inner_step(1), l.inner, 1,
				       0});
	}
	return err;
}

extern "C" size_t fsmoe_attention_cuda_scratch(const struct fsmoe_call *call)
{
	const struct fsmoe_attention_args *a = args_of(call);
	size_t T = a->batch * a->seq, HD = a->heads * a->head_dim;
	scratch s = {};

	if (fsmoe_attention_gathers(a))
	{
		s.take<float>(T * 3 * HD);
		s.take<float>(T * HD);
	}
	return s.used;
}

extern "C" int fsmoe_attention_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_attention_args *a = args_of(call);
	const float *qkv = data_of<const float>(call, 0);
	float *y = data_of<float>(call, 1), *probs = data_of<float>(call, 2);
	size_t T = a->batch * a->seq, HD = a->heads * a->head_dim;
	scratch s = scratch_of(cuda);

	if (!fsmoe_attention_gathers(a))
		return forward(call, cuda, qkv, y, probs);

	float *own_qkv = s.take<float>(T * 3 * HD), *own_y = s.take<float>(T * HD);
	int err = regrouped(call, cuda, true, 3 * HD, qkv, own_qkv);
	if (!err)
		err = forward(call, cuda, own_qkv, own_y, probs);
	return err ? err : regrouped(call, cuda, false, HD, own_y, y);
}

/* --- backward ------------------------------------------------------------------------------- */

static int backward_one(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda,
			const loops &l, const float *q, const float *p, const float *dy, float *dq,
			float *ds)
{
	const float *k = q + l.HD, *v = k + l.HD;
	float *dk = dq + l.HD, *dv = dk + l.HD;
	size_t S = l.S, row = 3 * l.HD, square = S * S, rows = l.inner * S;
	size_t step = l.inner_step(3), step_y = l.inner_step(1), step_p = l.inner_square();
	float scale = 1 / sqrtf((float)l.D);
	int err;

	err = multiply(call, cuda,
		       product{true, false, S, l.D, S, p, S, step_p, dy, l.HD, step_y, dv, row,
			       step, l.inner, 1, 0});
	if (!err)
		err = multiply(call, cuda,
			       product{false, true, S, S, l.D, dy, l.HD, step_y, v, row, step, ds,
				       S, square, l.inner, 1, 0});
	if (err)
		return err;
	if (step_p == square)
		softmax_backward<<<(unsigned)((rows + 7) / 8), 256, 0, cuda->stream>>>(p, ds, rows,
										       S, scale);
	else /* the squares of one head lie apart */
		for (size_t i = 0; i < l.inner; i++)
			softmax_backward<<<(unsigned)((S + 7) / 8), 256, 0, cuda->stream>>>(
				p + i * step_p, ds + i * square, S, S, scale);
	err = launched(call);
	if (!err)
		err = multiply(call, cuda,
			       product{false, false, S, l.D, S, ds, S, square, k, row, step, dq,
				       row, step, l.inner, 1, 0});
	return err ? err
		   : multiply(call, cuda,
			      product{true, false, S, l.D, S, ds, S, square, q, row, step, dk, row,
				      step, l.inner, 1, 0});
}

static int backward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, const float *qkv,
		    const float *dy, float *dqkv, float *ds)
{
	const loops l = loops_of(args_of(call));
	const float *probs = data_of<const float>(call, 1);
	int err = 0;

	for (size_t o = 0; o < l.outer && !err; o++)
		err = backward_one(call, cuda, l, qkv + o * l.outer_step(3),
				   probs + o * l.outer_square(), dy + o * l.outer_step(1),
				   dqkv + o * l.outer_step(3), ds);
	return err;
}

extern "C" size_t fsmoe_attention_backward_cuda_scratch(const struct fsmoe_call *call)
{
	const struct fsmoe_attention_args *a = args_of(call);
	size_t T = a->batch * a->seq, HD = a->heads * a->head_dim;
	scratch s = {};

	s.take<float>(loops_of(a).inner * a->seq * a->seq);
	if (fsmoe_attention_gathers(a))
	{
		s.take<float>(T * 3 * HD);
		s.take<float>(T * 3 * HD);
		s.take<float>(T * HD);
	}
	return s.used;
}

extern "C" int fsmoe_attention_backward_cuda(const struct fsmoe_call *call,
					     const struct fsmoe_cuda *cuda)
{
	const struct fsmoe_attention_args *a = args_of(call);
	const float *qkv = data_of<const float>(call, 0), *dy = data_of<const float>(call, 2);
	float *dqkv = data_of<float>(call, 3);
	size_t T = a->batch * a->seq, HD = a->heads * a->head_dim;
	scratch s = scratch_of(cuda);
	float *ds = s.take<float>(loops_of(a).inner * a->seq * a->seq);

	if (!fsmoe_attention_gathers(a))
		return backward(call, cuda, qkv, dy, dqkv, ds);

	float *own_qkv = s.take<float>(T * 3 * HD), *own_dqkv = s.take<float>(T * 3 * HD);
	float *own_dy = s.take<float>(T * HD);
	int err = regrouped(call, cuda, true, 3 * HD, qkv, own_qkv);
	if (!err)
		err = regrouped(call, cuda, true, HD, dy, own_dy);
	if (!err)
		err = backward(call, cuda, own_qkv, own_dy, own_dqkv, ds);
	return err ? err : regrouped(call, cuda, false, 3 * HD, own_dqkv, dqkv);
}
