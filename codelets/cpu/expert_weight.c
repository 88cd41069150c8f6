/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/expert_ffn.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"

static void add_rows(const real *rows, size_t n, size_t columns, real *sum)
{
	for (size_t i = 0; sum && i < n; i++)
		for (size_t k = 0; k < columns; k++)
			sum[k] += rows[i * columns + k];
}

/* One pass' chunks of two tensors: x and z, or dy and dz. */
struct pass
{
	const size_t *at;
	size_t n;
	void *const *narrow; /* (P, E, c, M) */
	void *const *wide;   /* (E, P, c, Z) */
};

struct sizes
{
	size_t sources, experts, M, Z;
	const struct fsmoe_filled *filled;
	const int32_t *counts; /* NULL: every slot holds a row */
};

/* Copies the rows of expert e, source p, slots [s, s + *n) of both tensors; *n is cut down to what
 * lies in one piece. */
static void copy_rows(const struct pass *pass, const struct sizes *z, size_t e, size_t p, size_t s,
		      size_t *n, real *narrow, real *wide)
{
	size_t piece = fsmoe_cuts_find(pass->at, pass->n, s), lo = pass->at[piece];
	size_t span = pass->at[piece + 1] - lo, row = (p * z->experts + e) * span + s - lo;
	size_t row_wide = (e * z->sources + p) * span + s - lo;

	if (*n > span - (s - lo))
		*n = span - (s - lo);
	memcpy(narrow, (const real *)pass->narrow[piece] + row * z->M, *n * z->M * sizeof(real));
	memcpy(wide, (const real *)pass->wide[piece] + row_wide * z->Z, *n * z->Z * sizeof(real));
}

/* Rows [first, first + n) of expert e in (source, slot) order over the backward pieces; returns how
 * many of them there are. */
static size_t copy_block(const struct pass *pass, const struct sizes *z, size_t lo, size_t hi,
			 size_t e, size_t first, size_t n, real *narrow, real *wide)
{
	size_t span = hi - lo, rows = 0;

	for (size_t i = 0, run; i < n; i += run)
	{
		size_t p = (first + i) / span, s = lo + (first + i) % span, left = n - i;
		run = hi - s;
		int here = !z->counts ||
			   fsmoe_filled_here(z->filled, z->counts, p * z->experts + e, s, &run);
		run = run < left ? run : left;
		if (!here)
			continue;
		copy_rows(pass, z, e, p, s, &run, narrow + rows * z->M, wide + rows * z->Z);
		rows += run;
	}
	return rows;
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
	const struct fsmoe_shape *chunk = &call->tensor[X]->shape;
	const struct sizes s = {chunk->dim[0],
				chunk->dim[1],
				fsmoe_columns(call->tensor[X]),
				fsmoe_columns(call->tensor[X + nf]),
				&a->net.filled,
				call->data[call->n - 1]};
	const struct weights d = weights_of(a->net.ffn, call->data, 0);
	size_t lo = backward.at[0], hi = backward.at[nb];
	size_t rows = s.sources * (hi - lo);
	real *x = call->data[ROWS], *dy = x + block * s.M, *z = dy + block * s.M;
	real *dz = z + block * s.Z;

	for (size_t e = 0; e < s.experts; e++)
		for (size_t i = 0, n; i < rows; i += n)
		{
			n = rows - i < block ? rows - i : block;
			size_t there = copy_block(&forward, &s, lo, hi, e, i, n, x, z);
			copy_block(&backward, &s, lo, hi, e, i, n, dy, dz);
			if (there > 0)
				add_block(&d, &activations[a->net.activation], &s, e, there, x, dy,
					  z, dz);
		}
	return 0;
}
