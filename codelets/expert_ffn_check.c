/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_ffn.h"
#include "codelets/shape.h"

#include <errno.h>
#include <fsmoe/error.h>

/* Slots of a chunk (P, E, c, M), or (E, P, c, Z) of a z. */
static size_t slots_of(const struct fsmoe_tensor_info *t)
{
	return t->shape.ndim == 4 ? t->shape.dim[2] : 0;
}

static int check_pieces(const struct fsmoe_check *c, int first, size_t n, const size_t *at)
{
	for (size_t i = 0; i < n; i++)
		if (at[i + 1] <= at[i] || slots_of(c->tensor[first + (int)i]) != at[i + 1] - at[i])
			return fsmoe_fail(EINVAL,
					  "%s: '%s' must hold slots %zu to %zu, but has %zu",
					  c->op->name, c->tensor[first + (int)i]->name, at[i],
					  at[i + 1], slots_of(c->tensor[first + (int)i]));
	return 0;
}

/* Counts, where there are any, are of all groups and of every block of the chunk x. The rows that
 * they name are gathered in scratch. */
static int check_counts(const struct fsmoe_check *c, int x, int rows)
{
	const struct fsmoe_filled *f = &((const struct fsmoe_expert_args *)c->args)->filled;
	const struct fsmoe_shape *shape = &c->tensor[x]->shape;

	if (shape->ndim != 4 || shape->dim[2] == 0)
		return fsmoe_fail(EINVAL, "%s: '%s' is no chunk (P, E, c, M) with slots",
				  c->op->name, c->tensor[x]->name);
	if (!c->tensor[c->n - 1])
		return 0;
	if (f->capacity == 0 || f->hi <= f->lo || f->hi > f->capacity * f->groups ||
	    shape->dim[0] * shape->dim[1] % f->experts || !c->tensor[rows])
		return fsmoe_fail(EINVAL, "%s: counts, but not of slots %zu to %zu of %zu groups",
				  c->op->name, f->lo, f->hi, f->groups);
	fsmoe_check_letter(c, 'G', f->groups);
	return 0;
}

int fsmoe_ffn_check(const struct fsmoe_check *c)
{
	return check_counts(c, 0, c->n - 2);
}

int fsmoe_ffn_check_backward_input(const struct fsmoe_check *c)
{
	const struct fsmoe_expert_input_args *a = c->args;
	const int Z = 3 + fsmoe_ffn_matrices(a->net.ffn);
	const size_t slots = slots_of(c->tensor[0]);

	if ((size_t)(c->n - Z - 2) != a->n || a->n == 0 || a->lo < a->at[0] ||
	    a->hi > a->at[a->n] || a->hi - a->lo != slots)
		return fsmoe_fail(EINVAL,
				  "%s: slots %zu to %zu of %zu are not covered by what was saved",
				  c->op->name, a->lo, a->hi, slots);
	return check_pieces(c, Z, a->n, a->at) || check_counts(c, 0, c->n - 2) ? -EINVAL : 0;
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

	return check_pieces(c, X, a->forward, forward) ||
			       check_pieces(c, X + nf, a->forward, forward) ||
			       check_pieces(c, X + 2 * nf, a->backward, backward) ||
			       check_pieces(c, X + 2 * nf + nb, a->backward, backward) ||
			       check_counts(c, X, ROWS)
		       ? -EINVAL
		       : 0;
}
