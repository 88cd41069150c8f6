/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_ffn.h"
#include "codelets/shape.h"

#include <errno.h>
#include <fsmoe/error.h>

/* Sizes of a chunk (P, E, c, ...), all zero for a tensor that is not one. */
struct sizes
{
	size_t sources, experts, slots, columns;
};

static struct sizes sizes_of(const struct fsmoe_shape *s)
{
	if (s->ndim != 4)
		return (struct sizes){0};
	return (struct sizes){s->dim[0], s->dim[1], s->dim[2], s->dim[3]};
}

/* Of its z, which lies by expert: the first two dimensions change places. */
static struct sizes sizes_of_z(struct sizes x, size_t columns)
{
	return (struct sizes){x.experts, x.sources, x.slots, columns};
}

static int check_chunk(const struct fsmoe_check *c, int i, struct sizes want)
{
	const struct fsmoe_shape *s = &c->tensor[i]->shape;
	char text[FSMOE_SHAPE_TEXT];

	if (s->ndim == 4 && s->dim[0] == want.sources && s->dim[1] == want.experts &&
	    s->dim[2] == want.slots && s->dim[3] == want.columns && want.slots > 0)
		return fsmoe_check_dtype(c, i, FSMOE_REAL);
	return fsmoe_fail(EINVAL, "%s: '%s' must be (%zu, %zu, %zu, %zu), with slots, but is %s",
			  c->op->name, c->tensor[i]->name, want.sources, want.experts, want.slots,
			  want.columns, fsmoe_shape_text(text, s));
}

static int check_pieces(const struct fsmoe_check *c, int first, size_t n, const size_t *at,
			struct sizes want)
{
	for (size_t i = 0; i < n; i++)
	{
		want.slots = at[i + 1] - at[i];
		if (at[i + 1] <= at[i] || check_chunk(c, first + (int)i, want))
			return -EINVAL;
	}
	return 0;
}

/* The weights, or only the matrices among them, from access i on. x is a chunk's sizes. */
static int check_weights(const struct fsmoe_ffn *ffn, const struct fsmoe_check *c, int i,
			 int matrices_only, struct sizes x, size_t H)
{
	for (int w = 0; w < ffn->nweights; w++)
	{
		const enum fsmoe_ffn_part part = ffn->part[w];
		int err = 0;

		if (matrices_only && !fsmoe_ffn_is_matrix(part))
			continue;
		if (part == FSMOE_FFN_IN)
			err = fsmoe_check_matrix(c, i, x.experts * H, x.columns);
		else if (part == FSMOE_FFN_OUT)
			err = fsmoe_check_matrix(c, i, x.experts * x.columns, H);
		else
			err = fsmoe_check_count(
				c, i, x.experts * (part == FSMOE_FFN_IN_BIAS ? H : x.columns));
		if (err)
			return err;
		i++;
	}
	return 0;
}

/* Counts, where there are any, are of all groups and of every block of a chunk. The rows that they
 * name are gathered in scratch, of `columns` columns. */
static int check_counts(const struct fsmoe_check *c, int rows, int counts, struct sizes x,
			size_t columns)
{
	const struct fsmoe_filled *f = &((const struct fsmoe_expert_args *)c->args)->filled;

	if (!c->tensor[counts])
		return 0;
	if (f->capacity == 0 || f->hi <= f->lo || f->hi > f->capacity * f->groups ||
	    x.sources * x.experts % f->experts)
		return fsmoe_fail(EINVAL, "%s: counts, but not of slots %zu to %zu of %zu groups",
				  c->op->name, f->lo, f->hi, f->groups);
	return fsmoe_check_dtype(c, counts, FSMOE_INT32) ||
			       fsmoe_check_count(c, counts, x.sources * x.experts * f->groups) ||
			       (rows >= 0 &&
				(!c->tensor[rows] ||
				 fsmoe_check_matrix(c, rows, fsmoe_rows(c->tensor[rows]), columns)))
		       ? -EINVAL
		       : 0;
}

int fsmoe_ffn_check(const struct fsmoe_check *c)
{
	const struct fsmoe_ffn *ffn = ((const struct fsmoe_expert_args *)c->args)->ffn;
	const int Y = 1 + ffn->nweights, Z = Y + 1, ACT = Z + 1, ROWS = ACT + 1;
	size_t H = fsmoe_columns(c->tensor[ACT]);
	struct sizes x = sizes_of(&c->tensor[0]->shape);
	struct sizes z = sizes_of_z(x, H * (size_t)fsmoe_ffn_inputs(ffn));

	return check_chunk(c, 0, x) || check_chunk(c, Y, x) || check_chunk(c, Z, z) ||
			       check_weights(ffn, c, 1, 0, x, H) ||
			       fsmoe_check_dtype(c, ACT, FSMOE_REAL) ||
			       check_counts(c, ROWS, ROWS + 1, x, 2 * x.columns + z.columns)
		       ? -EINVAL
		       : 0;
}

int fsmoe_ffn_check_backward_input(const struct fsmoe_check *c)
{
	const struct fsmoe_expert_input_args *a = c->args;
	const struct fsmoe_ffn *ffn = a->net.ffn;
	const int DX = 1 + fsmoe_ffn_matrices(ffn), DZ = DX + 1, Z = DZ + 1;
	struct sizes x = sizes_of(&c->tensor[0]->shape);
	struct sizes z = sizes_of_z(x, fsmoe_columns(c->tensor[DZ]));

	if ((size_t)(c->n - Z - 2) != a->n || a->n == 0 || a->lo < a->at[0] ||
	    a->hi > a->at[a->n] || a->hi - a->lo != x.slots)
		return fsmoe_fail(EINVAL,
				  "%s: slots %zu to %zu of %zu are not covered by what was saved",
				  c->op->name, a->lo, a->hi, x.slots);
	return check_chunk(c, 0, x) || check_chunk(c, DX, x) || check_chunk(c, DZ, z) ||
			       check_pieces(c, Z, a->n, a->at, z) ||
			       check_weights(ffn, c, 1, 1, x,
					     z.columns / (size_t)fsmoe_ffn_inputs(ffn)) ||
			       check_counts(c, c->n - 2, c->n - 1, x, 2 * x.columns + z.columns)
		       ? -EINVAL
		       : 0;
}

int fsmoe_ffn_check_backward_weight(const struct fsmoe_check *c)
{
	const struct fsmoe_expert_weight_args *a = c->args;
	const struct fsmoe_ffn *ffn = a->net.ffn;
	const size_t *forward = a->at, *backward = a->at + a->forward + 1;
	const int ROWS = ffn->nweights, X = ROWS + 1;
	int nf = (int)a->forward, nb = (int)a->backward;

	if (nf < 1 || nb < 1 || c->n != X + 2 * nf + 2 * nb + 1 || forward[0] > backward[0] ||
	    forward[nf] < backward[nb])
		return fsmoe_fail(EINVAL, "%s: slots %zu to %zu are not covered by what was saved",
				  c->op->name, nb < 1 ? 0 : backward[0], nb < 1 ? 0 : backward[nb]);

	struct sizes x = sizes_of(&c->tensor[X]->shape);
	struct sizes z = sizes_of_z(x, fsmoe_columns(c->tensor[X + nf]));
	return check_pieces(c, X, a->forward, forward, x) ||
			       check_pieces(c, X + nf, a->forward, forward, z) ||
			       check_pieces(c, X + 2 * nf, a->backward, backward, x) ||
			       check_pieces(c, X + 2 * nf + nb, a->backward, backward, z) ||
			       check_weights(ffn, c, 0, 0, x,
					     z.columns / (size_t)fsmoe_ffn_inputs(ffn)) ||
			       fsmoe_check_matrix(c, ROWS, fsmoe_rows(c->tensor[ROWS]),
						  2 * (x.columns + z.columns)) ||
			       check_counts(c, -1, c->n - 1, x, 0)
		       ? -EINVAL
		       : 0;
}
