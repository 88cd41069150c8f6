/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CPU_EXPERT_FFN_H
#define FSMOE_CPU_EXPERT_FFN_H

#include "codelets/cpu/gelu.h"
#include "codelets/cpu/real.h"
#include "codelets/expert_ffn.h"

/* What the passes of a feed-forward network have in common. */

/* --- activations, on n rows --------------------------------------------------------------- */

/* The rows of a chunk, or of a block of it: z has `columns` columns, H of each matrix in. */
struct rows
{
	size_t n, H, columns;
};

static inline void gelu(const struct rows *r, const real *z, real *h, size_t ldh)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->H; k++)
			h[i * ldh + k] = gelu_value(z[i * r->columns + k]);
}

static inline void gelu_chain(const struct rows *r, const real *z, real *dz)
{
	for (size_t i = 0; i < r->n * r->H; i++)
		dz[i] *= gelu_slope(z[i]);
}

static inline void relu(const struct rows *r, const real *z, real *h, size_t ldh)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->H; k++)
			h[i * ldh + k] = z[i * r->columns + k] > 0 ? z[i * r->columns + k] : 0;
}

static inline void relu_chain(const struct rows *r, const real *z, real *dz)
{
	for (size_t i = 0; i < r->n * r->H; i++)
		dz[i] = z[i] > 0 ? dz[i] : 0;
}

static inline real sigmoid(real x)
{
	return 1 / (1 + fast_exp(-x));
}

static inline void swiglu(const struct rows *r, const real *z, real *h, size_t ldh)
{
	for (size_t i = 0; i < r->n; i++)
	{
		const real *a = z + i * r->columns, *b = a + r->H;
		for (size_t k = 0; k < r->H; k++)
			h[i * ldh + k] = a[k] * sigmoid(a[k]) * b[k];
	}
}

static inline void swiglu_chain(const struct rows *r, const real *z, real *dz)
{
	for (size_t i = 0; i < r->n; i++)
	{
		const real *a = z + i * r->columns, *b = a + r->H;
		real *da = dz + i * r->columns, *db = da + r->H;
		for (size_t k = 0; k < r->H; k++)
		{
			real s = sigmoid(a[k]), dh = da[k];
			da[k] = dh * b[k] * (s + a[k] * s * (1 - s));
			db[k] = dh * a[k] * s;
		}
	}
}

static const struct activation
{
	/* h = act(z); h may be the beginning of z's rows. */
	void (*value)(const struct rows *rows, const real *z, real *h, size_t ldh);
	/* Turns dh, which stands in the first H columns of dz, into dz. */
	void (*chain)(const struct rows *rows, const real *z, real *dz);
} activations[] = {
	[FSMOE_FFN_GELU] = {gelu, gelu_chain},
	[FSMOE_FFN_RELU] = {relu, relu_chain},
	[FSMOE_FFN_SWIGLU] = {swiglu, swiglu_chain},
};

/* --- weights --------------------------------------------------------------------------------- */

/* The data of a node's weights, or of their gradients; NULL where there is none. */
struct weights
{
	real *in[2], *in_bias, *out, *out_bias;
	size_t nin;
};

/* `matrices`: biases are not among the accesses. */
static inline struct weights weights_of(const struct fsmoe_ffn *ffn, void *const *data,
					int matrices)
{
	struct weights w = {.nin = 0};

	for (int i = 0; i < ffn->nweights; i++)
		switch (ffn->part[i])
		{
		case FSMOE_FFN_IN:
			w.in[w.nin++] = *data++;
			break;
		case FSMOE_FFN_OUT:
			w.out = *data++;
			break;
		case FSMOE_FFN_IN_BIAS:
			w.in_bias = matrices ? NULL : *data++;
			break;
		case FSMOE_FFN_OUT_BIAS:
			w.out_bias = matrices ? NULL : *data++;
		}
	return w;
}

#endif
