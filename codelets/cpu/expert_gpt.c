/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_gpt.h"
#include "codelets/cpu/gelu.h"
#include "codelets/cpu/real.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"

static void gelu(const real *z, real *h, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h[i] = gelu_value(z[i]);
}

/* dz *= gelu'(z) */
static void gelu_chain(const real *z, real *dz, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dz[i] *= gelu_slope(z[i]);
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

int KERNEL(expert_gpt)(const struct fsmoe_call *call)
{
	const struct runs runs = runs_of(&call->tensor[0]->shape);
	size_t M = fsmoe_columns(call->tensor[0]), H = fsmoe_columns(call->tensor[6]);
	size_t block = fsmoe_rows(call->tensor[7]);
	const real *x = call->data[0], *b1 = call->data[2], *b2 = call->data[4];
	const real *w1 = call->data[1]; /* (E, H, M) */
	const real *w2 = call->data[3]; /* (E, M, H) */
	real *y = call->data[5], *z = call->data[6], *h = call->data[7];

	for (size_t r = 0; r < runs.n; r++)
		for (size_t i = 0, n; i < runs.rows; i += n)
		{
			size_t e = r % runs.experts, row = r * runs.rows + i;
			n = runs.rows - i < block ? runs.rows - i : block;
			spread(b1 + e * H, z + row * H, n, H);
			gemm(0, 1, n, H, M, 1, x + row * M, M, w1 + e * H * M, M, 1, z + row * H,
			     H);
			gelu(z + row * H, h, n * H);
			spread(b2 ? b2 + e * M : NULL, y + row * M, n, M);
			gemm(0, 1, n, M, H, 1, h, H, w2 + e * H * M, H, b2 ? 1 : 0, y + row * M, M);
		}
	return 0;
}

/* dz of one run of a chunk, in the pieces in which z was saved. */
static void chain_run(const struct fsmoe_expert_input_args *a, void *const *z, size_t H, size_t run,
		      real *dz)
{
	for (size_t s = a->lo, n; s < a->hi; s += n)
	{
		size_t piece = fsmoe_cuts_find(a->at, a->n, s), lo = a->at[piece];
		size_t end = a->at[piece + 1] < a->hi ? a->at[piece + 1] : a->hi;
		size_t row = run * (a->at[piece + 1] - lo) + s - lo;
		n = end - s;
		gelu_chain((const real *)z[piece] + row * H, dz + (s - a->lo) * H, n * H);
	}
}

int KERNEL(expert_gpt_backward_input)(const struct fsmoe_call *call)
{
	const struct fsmoe_expert_input_args *a = call->args;
	const struct fsmoe_shape *shape = &call->tensor[0]->shape;
	const struct runs runs = runs_of(shape);
	size_t M = fsmoe_columns(call->tensor[0]), H = fsmoe_columns(call->tensor[4]);
	size_t span = a->hi - a->lo;
	const real *dy = call->data[0], *w1 = call->data[1], *w2 = call->data[2];
	real *dx = call->data[3], *dz = call->data[4];

	for (size_t r = 0; r < runs.n; r++)
		gemm(0, 0, runs.rows, H, M, 1, dy + r * runs.rows * M, M,
		     w2 + r % runs.experts * H * M, H, 0, dz + r * runs.rows * H, H);
	/* A run here is a (source, expert) whatever the number of experts. */
	for (size_t r = 0; r < shape->dim[0] * shape->dim[1]; r++)
		chain_run(a, &call->data[5], H, r, dz + r * span * H);
	for (size_t r = 0; r < runs.n; r++)
		gemm(0, 0, runs.rows, M, H, 1, dz + r * runs.rows * H, H,
		     w1 + r % runs.experts * H * M, M, 0, dx + r * runs.rows * M, M);
	return 0;
}

/* One pass' chunks of two tensors of different width: x and z, or dy and dz. */
struct pass
{
	const size_t *at;
	size_t n;
	void *const *narrow, *const *wide; /* M and H columns */
};

struct sizes
{
	size_t experts, M, H;
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
	memcpy(wide, (const real *)pass->wide[piece] + row * z->H, *n * z->H * sizeof(real));
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
		copy_rows(pass, z, e, p, s, &run, narrow + i * z->M, wide + i * z->H);
	}
}

int KERNEL(expert_gpt_backward_weight)(const struct fsmoe_call *call)
{
	const struct fsmoe_expert_weight_args *a = call->args;
	size_t nf = a->forward, nb = a->backward, block = fsmoe_rows(call->tensor[4]);
	void *const *many = &call->data[5];
	const struct pass forward = {a->at, nf, many, many + nf};
	const struct pass backward = {a->at + nf + 1, nb, many + 2 * nf, many + 2 * nf + nb};
	const struct sizes s = {call->tensor[5]->shape.dim[1], fsmoe_columns(call->tensor[5]),
				fsmoe_columns(call->tensor[5 + nf])};
	size_t lo = backward.at[0], hi = backward.at[nb];
	size_t rows = call->tensor[5]->shape.dim[0] * (hi - lo), M = s.M, H = s.H;
	real *dw1 = call->data[0], *db1 = call->data[1];
	real *dw2 = call->data[2], *db2 = call->data[3];
	real *x = call->data[4], *dy = x + block * M, *z = dy + block * M, *dz = z + block * H;

	for (size_t e = 0; e < s.experts; e++)
		for (size_t i = 0, n; i < rows; i += n)
		{
			n = rows - i < block ? rows - i : block;
			copy_block(&forward, &s, lo, hi, e, i, n, x, z);
			copy_block(&backward, &s, lo, hi, e, i, n, dy, dz);
			if (dw1)
				gemm(1, 0, H, M, n, 1, dz, H, x, M, 1, dw1 + e * H * M, M);
			add_rows(dz, n, H, db1 ? db1 + e * H : NULL);
			gelu(z, z, n * H);
			if (dw2)
				gemm(1, 0, M, H, n, 1, dy, M, z, H, 1, dw2 + e * H * M, H);
			add_rows(dy, n, M, db2 ? db2 + e * M : NULL);
		}
	return 0;
}
