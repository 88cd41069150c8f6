/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/linear.h"
#include "codelets/cuda/product.cuh"
#include "codelets/cuda/reduce.cuh"

/* y and its gradient may be float in a bf16 run: logits. A product takes two factors of one type,
 * so such a gradient is rounded into scratch first. */

/* Every row of y = bias; the product then adds to it. */
template <class Y> struct spread
{
	const float *bias; /* (O) */
	Y *y;              /* (T, O) */
	size_t O;

	template <int V> __device__ void run(size_t t, size_t o) const
	{
		store<V>(y + t * O + o, load<V>(bias + o));
	}
};

template <class X, class Y>
static int forward_to(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const X *x = data_of<const X>(call, 0), *w = weight_of<X>(call, 1);
	size_t T = fsmoe_rows(call->tensor[0]), K = fsmoe_columns(call->tensor[0]);
	size_t O = fsmoe_rows(call->tensor[1]);
	spread<Y> f = {data_of<const float>(call, 2), data_of<Y>(call, 3), O};
	int err = 0;

	if (f.bias)
		err = map_rows(call, cuda, f, T, O, aligned(f.bias, f.y));
	return err ? err
		   : multiply(call, cuda,
			      product(T, O, K, plain(x, K), transposed(w, K), into(f.y, O), 1,
				      f.bias ? 1.0f : 0.0f));
}

template <class X> static int forward(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	return holds_bf16(call, 3) ? forward_to<X, X>(call, cuda)
				   : forward_to<X, float>(call, cuda);
}

/* --- backward ------------------------------------------------------------------------------ */

template <class X> static size_t input_scratch(const struct fsmoe_call *call)
{
	scratch s = {};

	s.take<X>(narrowing<X>(call, 0));
	return s.used;
}

template <class X>
static int backward_input(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const X *dy, *w = weight_of<X>(call, 1); /* (T, O), (O, K) */
	X *dx = data_of<X>(call, 2);             /* (T, K) */
	size_t T = fsmoe_rows(call->tensor[0]), O = fsmoe_columns(call->tensor[0]);
	size_t K = fsmoe_columns(call->tensor[2]);
	scratch s = scratch_of(cuda);
	int err = narrowed(call, cuda, 0, &s, &dy);

	return err ? err
		   : multiply(call, cuda, product(T, K, O, plain(dy, O), plain(w, K), into(dx, K)));
}

template <class X> static size_t weight_scratch(const struct fsmoe_call *call)
{
	const struct fsmoe_tensor_info *dy = call->tensor[1];
	scratch s = {};

	s.take<X>(narrowing<X>(call, 1));
	if (call->tensor[3])
		s.take<float>(column_partials(fsmoe_rows(dy), fsmoe_columns(dy), 1));
	return s.used;
}

template <class Y>
static int add_bias(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda, float *partial)
{
	size_t T = fsmoe_rows(call->tensor[0]), O = fsmoe_columns(call->tensor[1]);
	matrix_rows<Y> dy = {data_of<const Y>(call, 1), O};

	return add_columns(call, cuda, dy, T, O, 1, aligned(dy.x), partial,
			   data_of<float>(call, 3));
}

template <class X>
static int backward_weight(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const X *x = data_of<const X>(call, 0), *dy; /* (T, K), (T, O) */
	float *dw = data_of<float>(call, 2);         /* (O, K) or NULL */
	size_t T = fsmoe_rows(call->tensor[0]), K = fsmoe_columns(call->tensor[0]);
	size_t O = fsmoe_columns(call->tensor[1]);
	scratch s = scratch_of(cuda);
	int err = narrowed(call, cuda, 1, &s, &dy);

	if (dw && !err)
		err = multiply(call, cuda,
			       product(O, K, T, transposed(dy, O), plain(x, K), into(dw, K), 1,
				       kept(call, 2)));
	if (!call->data[3] || err)
		return err;
	float *partial = s.take<float>(column_partials(T, O, 1));
	return holds_bf16(call, 1) ? add_bias<bf16>(call, cuda, partial)
				   : add_bias<float>(call, cuda, partial);
}

CUDA_KERNELS(linear, forward)
CUDA_KERNELS(linear_backward_input, backward_input)
CUDA_KERNELS(linear_backward_weight, backward_weight)
CUDA_SCRATCH(linear_backward_input, input_scratch)
CUDA_SCRATCH(linear_backward_weight, weight_scratch)
