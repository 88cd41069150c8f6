/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/real.h"
#include "codelets/linear.h"
#include "codelets/shape.h"

static void linear(const real *x, /* (T, K) */
		   const real *w, /* (O, K) */
		   const real *b, /* (O) or NULL */
		   real *y,       /* (T, O) */
		   size_t T, size_t K, size_t O)
{
	/* The product then adds to the bias: one pass over y less than adding it afterwards. */
	for (size_t t = 0; b && t < T; t++)
		memcpy(y + t * O, b, O * sizeof(*b));
	gemm(0, 1, T, O, K, 1, x, K, w, K, b ? 1 : 0, y, O);
}

static void sum_rows(const real *dy, /* (T, O) */
		     real *db,       /* (O) */
		     size_t T, size_t O)
{
	for (size_t t = 0; t < T; t++)
		for (size_t o = 0; o < O; o++)
			db[o] += dy[t * O + o];
}

int KERNEL(linear)(const struct fsmoe_call *call)
{
	linear(call->data[0], call->data[1], call->data[2], call->data[3],
	       fsmoe_rows(call->tensor[0]), fsmoe_columns(call->tensor[0]),
	       fsmoe_rows(call->tensor[1]));
	return 0;
}

int KERNEL(linear_backward_input)(const struct fsmoe_call *call)
{
	const real *dy = call->data[0]; /* (T, O) */
	const real *w = call->data[1];  /* (O, K) */
	real *dx = call->data[2];       /* (T, K) */
	size_t T = fsmoe_rows(call->tensor[0]), O = fsmoe_columns(call->tensor[0]);
	size_t K = fsmoe_columns(call->tensor[2]);

	gemm(0, 0, T, K, O, 1, dy, O, w, K, 0, dx, K);
	return 0;
}

int KERNEL(linear_backward_weight)(const struct fsmoe_call *call)
{
	const real *x = call->data[0];  /* (T, K) */
	const real *dy = call->data[1]; /* (T, O) */
	real *dw = call->data[2];       /* (O, K) or NULL */
	real *db = call->data[3];       /* (O) or NULL */
	size_t T = fsmoe_rows(call->tensor[0]), K = fsmoe_columns(call->tensor[0]);
	size_t O = fsmoe_columns(call->tensor[1]);

	if (dw)
		gemm(1, 0, O, K, T, 1, dy, O, x, K, 1, dw, K);
	if (db)
		sum_rows(dy, db, T, O);
	return 0;
}
