/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/linear.h"
#include "codelets/cuda/reduce.cuh"

/* Every row of y = bias; the product then adds to it. */
struct spread
{
	const float *bias; /* (O) */
	float *y;          /* (T, O) */
	size_t O;

	template <int V> __device__ void run(size_t t, size_t o) const
	{
		store<V>(y + t * O + o, load<V>(bias + o));
	}
};

extern "C" int fsmoe_linear_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	const float *x = data_of<const float>(call, 0), *w = data_of<const float>(call, 1);
	size_t T = fsmoe_rows(call->tensor[0]), K = fsmoe_columns(call->tensor[0]);
	size_t O = fsmoe_rows(call->tensor[1]);
	spread f = {data_of<const float>(call, 2), data_of<float>(call, 3), O};
	int err = 0;

	if (f.bias)
		err = map_rows(call, cuda, f, T, O, aligned(f.bias, f.y));
	return err ? err
		   : multiply(call, cuda,
			      product{false, true, T, O, K, x, K, 0, w, K, 0, f.y, O, 0, 1, 1,
				      f.bias ? 1.0f : 0.0f});
}

extern "C" int fsmoe_linear_backward_input_cuda(const struct fsmoe_call *call,
						const struct fsmoe_cuda *cuda)
{
	const float *dy = data_of<const float>(call, 0); /* (T, O) */
	const float *w = data_of<const float>(call, 1);  /* (O, K) */
	float *dx = data_of<float>(call, 2);             /* (T, K) */
	size_t T = fsmoe_rows(call->tensor[0]), O = fsmoe_columns(call->tensor[0]);
	size_t K = fsmoe_columns(call->tensor[2]);

	return multiply(call, cuda,
			product{false, false, T, K, O, dy, O, 0, w, K, 0, dx, K, 0, 1, 1, 0});
}

extern "C" size_t fsmoe_linear_backward_weight_cuda_scratch(const struct fsmoe_call *call)
{
	const struct fsmoe_tensor_info *dy = call->tensor[1];

	return call->tensor[3]
		       ? column_partials(fsmoe_rows(call->tensor[0]), fsmoe_columns(dy), 1) *
				 sizeof(float)
		       : 0;
}

extern "C" int fsmoe_linear_backward_weight_cuda(const struct fsmoe_call *call,
						 const struct fsmoe_cuda *cuda)
{
	const float *x = data_of<const float>(call, 0);  /* (T, K) */
	const float *dy = data_of<const float>(call, 1); /* (T, O) */
	float *dw = data_of<float>(call, 2);             /* (O, K) or NULL */
	float *db = data_of<float>(call, 3);             /* (O) or NULL */
	size_t T = fsmoe_rows(call->tensor[0]), K = fsmoe_columns(call->tensor[0]);
	size_t O = fsmoe_columns(call->tensor[1]);
	int err = 0;

	if (dw)
		err = multiply(call, cuda,
			       product{true, false, O, K, T, dy, O, 0, x, K, 0, dw, K, 0, 1, 1, 1});
	if (db && !err)
		err = add_columns(call, cuda, matrix_rows{dy, O}, T, O, 1,
				  static_cast<float *>(cuda->scratch), db);
	return err;
}
