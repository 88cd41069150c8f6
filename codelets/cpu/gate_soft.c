/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/gate_soft.h"
#include "codelets/cpu/choose.h"
#include "codelets/shape.h"

/* n elements, `stride` apart. */
static void softmax(const real *in, real *out, size_t n, size_t stride)
{
	real top = in[0], sum = 0;

	for (size_t i = 0; i < n; i++)
		top = in[i * stride] > top ? in[i * stride] : top;
	for (size_t i = 0; i < n; i++)
		sum += out[i * stride] = exp(in[i * stride] - top);
	for (size_t i = 0; i < n; i++)
		out[i * stride] /= sum;
}

int KERNEL(gate_soft)(const struct fsmoe_call *call)
{
	const struct fsmoe_gate_soft_args *a = call->args;
	size_t rows = fsmoe_rows(call->tensor[0]), slots = fsmoe_columns(call->tensor[0]);
	const real *logits = call->data[0];
	real *dispatch = call->data[1], *combine = call->data[2];

	for (size_t t = 0; t < rows; t++)
	{
		if (choose_check(call, &logits[t * slots], t, slots))
			return -EDOM;
		softmax(&logits[t * slots], &combine[t * slots], slots, 1);
	}
	for (size_t g = 0; g < rows; g += a->group)
		for (size_t s = 0; s < slots; s++)
			softmax(&logits[g * slots + s], &dispatch[g * slots + s], a->group, slots);
	return 0;
}

/* dlogits += p (dp - sum p dp). */
static void softmax_backward(const real *p, const real *dp, real *dlogits, size_t n, size_t stride)
{
	real mean = 0;

	for (size_t i = 0; i < n * stride; i += stride)
		mean += p[i] * dp[i];
	for (size_t i = 0; i < n * stride; i += stride)
		dlogits[i] += p[i] * (dp[i] - mean);
}

int KERNEL(gate_soft_backward)(const struct fsmoe_call *call)
{
	const struct fsmoe_gate_soft_args *a = call->args;
	size_t rows = fsmoe_rows(call->tensor[0]), slots = fsmoe_columns(call->tensor[0]);
	const real *dispatch = call->data[0], *combine = call->data[1];
	const real *ddispatch = call->data[2], *dcombine = call->data[3];
	real *dlogits = call->data[4];

	memset(dlogits, 0, rows * slots * sizeof(*dlogits));
	for (size_t t = 0; dcombine && t < rows; t++)
		softmax_backward(&combine[t * slots], &dcombine[t * slots], &dlogits[t * slots],
				 slots, 1);
	for (size_t g = 0; ddispatch && g < rows; g += a->group)
		for (size_t at = g * slots; at < (g + 1) * slots; at++)
			softmax_backward(&dispatch[at], &ddispatch[at], &dlogits[at], a->group,
					 slots);
	return 0;
}
