/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_ffn.h"
#include "codelets/cpu/gelu.h"
#include "codelets/cpu/real.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"

/* --- activations, on n rows --------------------------------------------------------------- */

/* The rows of a chunk, or of a block of it: z has `columns` columns, H of each matrix in. */
struct rows
{
	size_t n, H, columns;
};

static void gelu(const struct rows *r, const real *z, real *h, size_t ldh)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->H; k++)
			h[i * ldh + k] = gelu_value(z[i * r->columns + k]);
}

static void gelu_chain(const struct rows *r, const real *z, real *dz)
{
	for (size_t i = 0; i < r->n * r->H; i++)
		dz[i] *= gelu_slope(z[i]);
}

static void relu(const struct rows *r, const real *z, real *h, size_t ldh)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->H; k++)
			h[i * ldh + k] = z[i * r->columns + k] > 0 ? z[i * r->columns + k] : 0;
}

static void relu_chain(const struct rows *r, const real *z, real *dz)
{
	for (size_t i = 0; i < r->n * r->H; i++)
		dz[i] = z[i] > 0 ? dz[i] : 0;
}

static inline real sigmoid(real x)
{
	return 1 / (1 + fast_exp(-x));
}

static void swiglu(const struct rows *r, const real *z, real *h, size_t ldh)
{
	for (size_t i = 0; i < r->n; i++)
	{
		const real *a = z + i * r->columns, *b = a + r->H;
		for (size_t k = 0; k < r->H; k++)
			h[i * ldh + k] = a[k] * sigmoid(a[k]) * b[k];
	}
}

static void swiglu_chain(const struct rows *r, const real *z, real *dz)
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

/* --- weights, and sums over rows ------------------------------------------------------------ */

/* The data of a node's weights, or of their gradients; NULL where there is none. */
struct weights
{
	real *in[2], *in_bias, *out, *out_bias;
	size_t nin;
};

/* `matrices`: biases are not among the accesses. */
static struct weights weights_of(const struct fsmoe_ffn *ffn, void *const *data, int matrices)
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

/* Every row of c (n, columns) = bias. */
static void spread(const real *bias, real *c, size_t n, size_t columns)
{
	for (size_t i = 0; bias && i < n; i++)
		memcpy(&c[i * columns], bias, columns * sizeof(*c));
}

static void add_rows(const real *rows, size_t n, size_t columns, real *sum)
{
	for (size_t i = 0; sum && i < n; i++)
		for (size_t k = 0; k < columns; k++)
			sum[k] += rows[i * columns + k];
}

/* A chunk (P, E, c, ...) is runs of rows of one expert: c rows each, or all P * c at once when
 * there is one expert only. Run r belongs to expert r % E. */
struct runs
{
	size_t n, rows, experts;
};

static struct runs runs_of(const struct fsmoe_shape *s)
{
	if (s->dim[1] == 1)
		return (struct runs){1, s->dim[0] * s->dim[2], 1};
	return (struct runs){s->dim[0] * s->dim[1], s->dim[2], s->dim[1]};
}

/* --- forward -------------------------------------------------------------------------------- */

int KERNEL(ffn)(const struct fsmoe_call *call)
{
	const struct fsmoe_expert_args *a = call->args;
	const int Y = 1 + a->ffn->nweights;
	const struct runs runs = runs_of(&call->tensor[0]->shape);
	const struct weights w = weights_of(a->ffn, call->data + 1, 0);
	size_t M = fsmoe_columns(call->tensor[0]), Z = fsmoe_columns(call->tensor[Y + 1]);
	size_t H = fsmoe_columns(call->tensor[Y + 2]), block = fsmoe_rows(call->tensor[Y + 2]);
	const real *x = call->data[0];
	real *y = call->data[Y], *z = call->data[Y + 1], *h = call->data[Y + 2];

	for (size_t r = 0; r < runs.n; r++)
		for (size_t i = 0, n; i < runs.rows; i += n)
		{
			size_t e = r % runs.experts, row = r * runs.rows + i;
			n = runs.rows - i < block ? runs.rows - i : block;
			spread(w.in_bias ? w.in_bias + e * H : NULL, z + row * Z, n, Z);
			for (size_t j = 0; j < w.nin; j++)
				gemm(0, 1, n, H, M, 1, x + row * M, M, w.in[j] + e * H * M, M,
				     w.in_bias ? 1 : 0, z + row * Z + j * H, Z);
			activations[a->activation].value(&(struct rows){n, H, Z}, z + row * Z, h,
							 H);
			spread(w.out_bias ? w.out_bias + e * M : NULL, y + row * M, n, M);
			gemm(0, 1, n, M, H, 1, h, H, w.out + e * H * M, H, w.out_bias ? 1 : 0,
			     y + row * M, M);
		}
	return 0;
}

/* --- backward: the input -------------------------------------------------------------------- */

/* dz of one (source, expert), in the pieces in which z was saved. */
static void chain_run(const struct fsmoe_expert_input_args *a, void *const *z, struct rows rows,
		      size_t run, real *dz)
{
	for (size_t s = a->lo; s < a->hi; s += rows.n)
	{
		size_t piece = fsmoe_cuts_find(a->at, a->n, s), lo = a->at[piece];
		size_t end = a->at[piece + 1] < a->hi ? a->at[piece + 1] : a->hi;
		size_t row = run * (a->at[piece + 1] - lo) + s - lo;
		rows.n = end - s;
		activations[a->net.activation].chain(&rows,
						     (const real *)z[piece] + row * rows.columns,
						     dz + (s - a->lo) * rows.columns);
	}
}

int KERNEL(ffn_backward_input)(const struct fsmoe_call *call)
{
	const struct fsmoe_expert_input_args *a = call->args;
	const int DX = 1 + fsmoe_ffn_matrices(a->net.ffn);
	const struct fsmoe_shape *shape = &call->tensor[0]->shape;
	const struct runs runs = runs_of(shape);
	const struct weights w = weights_of(a->net.ffn, call->data + 1, 1);
	size_t M = fsmoe_columns(call->tensor[0]), Z = fsmoe_columns(call->tensor[DX + 1]);
	size_t H = Z / w.nin, span = a->hi - a->lo;
	const real *dy = call->data[0];
	real *dx = call->data[DX], *dz = call->data[DX + 1];

	for (size_t r = 0; r < runs.n; r++)
		gemm(0, 0, runs.rows, H, M, 1, dy + r * runs.rows * M, M,
		     w.out + r % runs.experts * H * M, H, 0, dz + r * runs.rows * Z, Z);
	/* A run here is a (source, expert) whatever the number of experts. */
	for (size_t r = 0; r < shape->dim[0] * shape->dim[1]; r++)
		chain_run(a, &call->data[DX + 2], (struct rows){0, H, Z}, r, dz + r * span * Z);
	for (size_t r = 0; r < runs.n; r++)
		for (size_t j = 0; j < w.nin; j++)
			gemm(0, 0, runs.rows, M, H, 1, dz + r * runs.rows * Z + j * H, Z,
			     w.in[j] + r % runs.experts * H * M, M, j ? 1 : 0,
			     dx + r * runs.rows * M, M);
	return 0;
}

/* --- backward: the weights ------------------------------------------------------------------ */

/* One pass' chunks of two tensors of different width: x and z, or dy and dz. */
struct pass
{
	const size_t *at;
	size_t n;
	void *const *narrow, *const *wide; /* M and Z columns */
};

struct sizes
{
	size_t experts, M, Z;
};

/* Copies the rows of expert e, source p, slots [s, s + *n) of both tensors; *n is cut down to what
 * lies in one piece. */
static void copy_rows(const struct pass *pass, const struct sizes *z, size_t e, size_t p, size_t s,
		      size_t *n, real *narrow, real *wide)
{
	size_t piece = fsmoe_cuts_find(pass->at, pass->n, s), lo = pass->at[piece];
	size_t span = pass->at[piece + 1] - lo, row = (p * z->experts + e) * span + s - lo;

	if (*n > span - (s - lo))
		*n = span - (s - lo);
	memcpy(narrow, (const real *)pass->narrow[piece] + row * z->M, *n * z->M * sizeof(real));
	memcpy(wide, (const real *)pass->wide[piece] + row * z->Z, *n * z->Z * sizeof(real));
}

/* Rows [first, first + n) of expert e in (source, slot) order over the backward pieces. */
static void copy_block(const struct pass *pass, const struct sizes *z, size_t lo, size_t hi,
		       size_t e, size_t first, size_t n, real *narrow, real *wide)
{
	size_t span = hi - lo;

	for (size_t i = 0, run; i < n; i += run)
	{
		size_t p = (first + i) / span, s = lo + (first + i) % span;
		run = n - i < hi - s ? n - i : hi - s;
		copy_rows(pass, z, e, p, s, &run, narrow + i * z->M, wide + i * z->Z);
	}
}

/* Adds what n rows of expert e give. z is overwritten. */
static void add_block(const struct weights *d, const struct activation *act, const struct sizes *s,
		      size_t e, size_t n, const real *x, const real *dy, real *z, const real *dz)
{
	size_t M = s->M, Z = s->Z, H = Z / d->nin;

	for (size_t j = 0; j < d->nin; j++)
		if (d->in[j])
			gemm(1, 0, H, M, n, 1, dz + j * H, Z, x, M, 1, d->in[j] + e * H * M, M);
	add_rows(dz, n, Z, d->in_bias ? d->in_bias + e * H : NULL);
	if (d->out)
	{
		act->value(&(struct rows){n, H, Z}, z, z, Z);
		gemm(1, 0, M, H, n, 1, dy, M, z, Z, 1, d->out + e * H * M, H);
	}
	add_rows(dy, n, M, d->out_bias ? d->out_bias + e * M : NULL);
}

int KERNEL(ffn_backward_weight)(const struct fsmoe_call *call)
{
	const struct fsmoe_expert_weight_args *a = call->args;
	const int ROWS = a->net.ffn->nweights, X = ROWS + 1;
	size_t nf = a->forward, nb = a->backward, block = fsmoe_rows(call->tensor[ROWS]);
	void *const *many = &call->data[X];
	const struct pass forward = {a->at, nf, many, many + nf};
	const struct pass backward = {a->at + nf + 1, nb, many + 2 * nf, many + 2 * nf + nb};
	const struct sizes s = {call->tensor[X]->shape.dim[1], fsmoe_columns(call->tensor[X]),
				fsmoe_columns(call->tensor[X + nf])};
	const struct weights d = weights_of(a->net.ffn, call->data, 0);
	size_t lo = backward.at[0], hi = backward.at[nb];
	size_t rows = call->tensor[X]->shape.dim[0] * (hi - lo);
	real *x = call->data[ROWS], *dy = x + block * s.M, *z = dy + block * s.M;
	real *dz = z + block * s.Z;

	for (size_t e = 0; e < s.experts; e++)
		for (size_t i = 0, n; i < rows; i += n)
		{
			n = rows - i < block ? rows - i : block;
			copy_block(&forward, &s, lo, hi, e, i, n, x, z);
			copy_block(&backward, &s, lo, hi, e, i, n, dy, dz);
			add_block(&d, &activations[a->net.activation], &s, e, n, x, dy, z, dz);
		}
	return 0;
}
