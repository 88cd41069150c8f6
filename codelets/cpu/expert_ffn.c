/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cpu/expert_ffn.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"
#include "comm/pattern.h"

/* Every row of c (n, columns) = bias. */
static void spread(const real *bias, real *c, size_t n, size_t columns)
{
	for (size_t i = 0; bias && i < n; i++)
		memcpy(&c[i * columns], bias, columns * sizeof(*c));
}

/* A chunk is runs of rows of one expert: c rows each, or all P * c at once when there is one expert
 * only. Run r of what travels, (P, E, c, ...), belongs to expert r % E. */
struct runs
{
	size_t n, rows, sources, experts;
};

static struct runs runs_of(const struct fsmoe_shape *s)
{
	if (s->dim[1] == 1)
		return (struct runs){1, s->dim[0] * s->dim[2], 1, 1};
	return (struct runs){s->dim[0] * s->dim[1], s->dim[2], s->dim[0], s->dim[1]};
}

/* Which run of what stays, (E, P, c, ...), run r of what travels is. */
static size_t by_expert(const struct runs *s, size_t r)
{
	return r % s->experts * s->sources + r / s->experts;
}

/* --- rows that there are, by counts ----------------------------------------------------------- */

/* The rows of one expert, in (source, slot) order. */
struct walk
{
	const struct fsmoe_filled *filled;
	const int32_t *counts;
	size_t sources, experts, expert;
	size_t source, slot; /* of the next one */
};

/* Some rows of a walk: runs of rows of the chunk, `rows` in all. */
enum lie
{
	BY_SOURCE, /* (P, E, c, ...) */
	BY_EXPERT, /* (E, P, c, ...) */
};

struct block
{
	size_t rows, n;
	struct
	{
		size_t at[2], n; /* first row of a tensor that lies so, and how many */
	} run[FSMOE_FFN_BLOCK];
};

static struct walk walk_of(const struct fsmoe_filled *f, const int32_t *counts,
			   const struct fsmoe_shape *chunk, size_t expert)
{
	return (struct walk){f, counts, chunk->dim[0], chunk->dim[1], expert, 0, f->lo};
}

/* The next rows, `most` of them unless there are fewer; 0 at the end. */
static int next_block(struct walk *w, size_t most, struct block *b)
{
	const struct fsmoe_filled *f = w->filled;

	b->rows = b->n = 0;
	while (w->source < w->sources && b->rows < most)
	{
		size_t by_source = w->source * w->experts + w->expert, n;
		size_t by_expert = w->expert * w->sources + w->source, span = f->hi - f->lo;
		if (fsmoe_filled_here(f, w->counts, by_source, w->slot, &n))
		{
			n = n < most - b->rows ? n : most - b->rows;
			b->run[b->n].at[BY_SOURCE] = by_source * span + w->slot - f->lo;
			b->run[b->n].at[BY_EXPERT] = by_expert * span + w->slot - f->lo;
			b->run[b->n++].n = n;
			b->rows += n;
		}
		w->slot += n;
		if (w->slot == f->hi)
		{
			w->slot = f->lo;
			w->source++;
		}
	}
	return b->rows > 0;
}

/* Where the block's rows of a tensor lie together: where they are, when they are one run, or in
 * `scratch`. */
static real *place(const struct block *b, enum lie lie, real *tensor, real *scratch, size_t columns)
{
	return b->n == 1 ? tensor + b->run[0].at[lie] * columns : scratch;
}

static void gather(const struct block *b, enum lie lie, const real *tensor, real *place,
		   size_t columns)
{
	for (size_t i = 0; b->n > 1 && i < b->n; place += b->run[i++].n * columns)
		memcpy(place, tensor + b->run[i].at[lie] * columns,
		       b->run[i].n * columns * sizeof(*place));
}

static void scatter(const struct block *b, enum lie lie, const real *place, real *tensor,
		    size_t columns)
{
	for (size_t i = 0; b->n > 1 && i < b->n; place += b->run[i++].n * columns)
		memcpy(tensor + b->run[i].at[lie] * columns, place,
		       b->run[i].n * columns * sizeof(*place));
}

/* --- forward -------------------------------------------------------------------------------- */

struct forward
{
	struct weights w;
	const struct activation *act;
	size_t M, H, Z;
	real *h;
};

/* y and z of n rows of expert e. */
static void forward_rows(const struct forward *f, size_t e, size_t n, const real *x, real *z,
			 real *y)
{
	const struct weights *w = &f->w;
	size_t M = f->M, H = f->H, Z = f->Z;

	spread(w->in_bias ? w->in_bias + e * H : NULL, z, n, Z);
	for (size_t j = 0; j < w->nin; j++)
		gemm(0, 1, n, H, M, 1, x, M, w->in[j] + e * H * M, M, w->in_bias ? 1 : 0, z + j * H,
		     Z);
	f->act->value(&(struct rows){n, H, Z}, z, f->h, H);
	spread(w->out_bias ? w->out_bias + e * M : NULL, y, n, M);
	gemm(0, 1, n, M, H, 1, f->h, H, w->out + e * H * M, H, w->out_bias ? 1 : 0, y, M);
}

/* The same of what counts say. rows: scratch of x, y and z of a block. */
static int forward_filled(const struct fsmoe_call *call, const struct forward *f, size_t most,
			  real *rows)
{
	const struct fsmoe_expert_args *a = call->args;
	const int Y = 1 + a->ffn->nweights;
	real *x = call->data[0], *y = call->data[Y], *z = call->data[Y + 1];
	struct block b;

	for (size_t e = 0; e < call->tensor[0]->shape.dim[1]; e++)
	{
		struct walk walk =
			walk_of(&a->filled, call->data[Y + 4], &call->tensor[0]->shape, e);
		while (next_block(&walk, most, &b))
		{
			real *bx = place(&b, BY_SOURCE, x, rows, f->M);
			real *by = place(&b, BY_SOURCE, y, rows + most * f->M, f->M);
			real *bz = place(&b, BY_EXPERT, z, rows + 2 * most * f->M, f->Z);
			gather(&b, BY_SOURCE, x, bx, f->M);
			forward_rows(f, e, b.rows, bx, bz, by);
			scatter(&b, BY_SOURCE, by, y, f->M);
			scatter(&b, BY_EXPERT, bz, z, f->Z);
		}
	}
	return 0;
}

int KERNEL(ffn)(const struct fsmoe_call *call)
{
	const struct fsmoe_expert_args *a = call->args;
	const int Y = 1 + a->ffn->nweights;
	const struct runs runs = runs_of(&call->tensor[0]->shape);
	const struct forward f = {
		weights_of(a->ffn, call->data + 1, 0), &activations[a->activation],
		fsmoe_columns(call->tensor[0]),        fsmoe_columns(call->tensor[Y + 2]),
		fsmoe_columns(call->tensor[Y + 1]),    call->data[Y + 2]};
	size_t block = fsmoe_rows(call->tensor[Y + 2]);
	const real *x = call->data[0];
	real *y = call->data[Y], *z = call->data[Y + 1];

	if (call->data[Y + 4])
		return forward_filled(call, &f, block, call->data[Y + 3]);
	for (size_t r = 0; r < runs.n; r++)
		for (size_t i = 0, n; i < runs.rows; i += n)
		{
			size_t row = r * runs.rows + i, row_z = by_expert(&runs, r) * runs.rows + i;
			n = runs.rows - i < block ? runs.rows - i : block;
			forward_rows(&f, r % runs.experts, n, x + row * f.M, z + row_z * f.Z,
				     y + row * f.M);
		}
	return 0;
}

/* --- backward: the input -------------------------------------------------------------------- */

/* dz of slots [first, last) of one (expert, source), in the pieces in which z was saved. */
static void chain_run(const struct fsmoe_expert_input_args *a, void *const *z, struct rows rows,
		      size_t run, size_t first, size_t last, real *dz)
{
	for (size_t s = first; s < last; s += rows.n)
	{
		size_t piece = fsmoe_cuts_find(a->at, a->n, s), lo = a->at[piece];
		size_t end = a->at[piece + 1] < last ? a->at[piece + 1] : last;
		size_t row = run * (a->at[piece + 1] - lo) + s - lo;
		rows.n = end - s;
		activations[a->net.activation].chain(&rows,
						     (const real *)z[piece] + row * rows.columns,
						     dz + (s - first) * rows.columns);
	}
}

/* dz and dx of a block of expert e, dy at `from`. */
static void input_rows(const struct fsmoe_call *call, const struct weights *w, struct rows rows,
		       const struct block *b, size_t e, const real *from, real *dz, real *dx)
{
	const struct fsmoe_expert_input_args *a = call->args;
	size_t span = a->hi - a->lo, M = fsmoe_columns(call->tensor[0]), H = rows.H;
	void *const *z = &call->data[3 + fsmoe_ffn_matrices(a->net.ffn)];
	real *at = dz;

	gemm(0, 0, b->rows, H, M, 1, from, M, w->out + e * H * M, H, 0, dz, rows.columns);
	for (size_t i = 0; i < b->n; at += b->run[i++].n * rows.columns)
	{
		size_t row = b->run[i].at[BY_EXPERT], first = a->lo + row % span;
		chain_run(a, z, rows, row / span, first, first + b->run[i].n, at);
	}
	for (size_t j = 0; j < w->nin; j++)
		gemm(0, 0, b->rows, M, H, 1, dz + j * H, rows.columns, w->in[j] + e * H * M, M,
		     j ? 1 : 0, dx, M);
}

static int input_filled(const struct fsmoe_call *call, const struct weights *w, struct rows rows)
{
	const struct fsmoe_expert_input_args *a = call->args;
	const int DX = 1 + fsmoe_ffn_matrices(a->net.ffn);
	size_t M = fsmoe_columns(call->tensor[0]), Z = rows.columns;
	size_t most = fsmoe_rows(call->tensor[call->n - 2]);
	real *dy = call->data[0], *dx = call->data[DX], *dz = call->data[DX + 1];
	real *scratch = call->data[call->n - 2];
	struct block b;

	for (size_t e = 0; e < call->tensor[0]->shape.dim[1]; e++)
	{
		struct walk walk = walk_of(&a->net.filled, call->data[call->n - 1],
					   &call->tensor[0]->shape, e);
		while (next_block(&walk, most, &b))
		{
			real *bdy = place(&b, BY_SOURCE, dy, scratch, M);
			real *bdx = place(&b, BY_SOURCE, dx, scratch + most * M, M);
			real *bdz = place(&b, BY_EXPERT, dz, scratch + 2 * most * M, Z);
			gather(&b, BY_SOURCE, dy, bdy, M);
			input_rows(call, w, rows, &b, e, bdy, bdz, bdx);
			scatter(&b, BY_SOURCE, bdx, dx, M);
			scatter(&b, BY_EXPERT, bdz, dz, Z);
		}
	}
	return 0;
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

	if (call->data[call->n - 1])
		return input_filled(call, &w, (struct rows){0, H, Z});
	for (size_t r = 0; r < runs.n; r++)
		gemm(0, 0, runs.rows, H, M, 1, dy + r * runs.rows * M, M,
		     w.out + r % runs.experts * H * M, H, 0,
		     dz + by_expert(&runs, r) * runs.rows * Z, Z);
	/* A run here is an (expert, source) whatever the number of experts. */
	for (size_t r = 0; r < shape->dim[0] * shape->dim[1]; r++)
		chain_run(a, &call->data[DX + 2], (struct rows){0, H, Z}, r, a->lo, a->hi,
			  dz + r * span * Z);
	for (size_t r = 0; r < runs.n; r++)
		for (size_t j = 0; j < w.nin; j++)
			gemm(0, 0, runs.rows, M, H, 1,
			     dz + by_expert(&runs, r) * runs.rows * Z + j * H, Z,
			     w.in[j] + r % runs.experts * H * M, M, j ? 1 : 0,
			     dx + r * runs.rows * M, M);
	return 0;
}
