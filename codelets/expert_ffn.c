/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_ffn.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

static size_t block_rows(size_t rows)
{
	return rows < FSMOE_FFN_BLOCK ? rows : FSMOE_FFN_BLOCK;
}

static int is_matrix(enum fsmoe_ffn_part part)
{
	return part == FSMOE_FFN_IN || part == FSMOE_FFN_OUT;
}

/* Which of the weights is the first matrix in: of it the hidden size is read. */
static int first_in(const struct fsmoe_ffn *ffn)
{
	int w = 0;

	while (ffn->part[w] != FSMOE_FFN_IN)
		w++;
	return w;
}

/* --- checks ------------------------------------------------------------------------------- */

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

		if (matrices_only && !is_matrix(part))
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
	struct sizes x = sizes_of(&c->tensor[0]->shape), z = x;
	size_t H = fsmoe_columns(c->tensor[ACT]);

	z.columns = H * (size_t)fsmoe_ffn_inputs(ffn);
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
	struct sizes x = sizes_of(&c->tensor[0]->shape), z = x;

	z.columns = fsmoe_columns(c->tensor[DZ]);
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

	struct sizes x = sizes_of(&c->tensor[X]->shape), z = x;
	z.columns = fsmoe_columns(c->tensor[X + nf]);
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

/* --- work: two flops for each element of a row and each of a matrix' other side ------------- */

static double flops(const struct fsmoe_ffn *ffn, double elements, size_t z)
{
	return 2.0 * elements * (double)z * fsmoe_ffn_matrices(ffn) / fsmoe_ffn_inputs(ffn);
}

/* Of a chunk, those that hold something when all experts have as many. */
static double elements_of(const void *args, const struct fsmoe_tensor_info *x)
{
	const struct fsmoe_expert_args *net = args;

	return (double)fsmoe_count(x) * fsmoe_filled_share(&net->filled);
}

double fsmoe_ffn_rows(const void *args, const struct fsmoe_tensor_info *x)
{
	return elements_of(args, x) / (double)fsmoe_columns(x);
}

double fsmoe_ffn_work(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	const struct fsmoe_ffn *ffn = ((const struct fsmoe_expert_args *)args)->ffn;

	(void)n;
	return flops(ffn, elements_of(args, t[0]), fsmoe_columns(t[2 + ffn->nweights]));
}

double fsmoe_ffn_work_backward_input(const void *args, const struct fsmoe_tensor_info *const *t,
				     int n)
{
	const struct fsmoe_ffn *ffn = ((const struct fsmoe_expert_input_args *)args)->net.ffn;

	(void)n;
	return flops(ffn, elements_of(args, t[0]), fsmoe_columns(t[2 + fsmoe_ffn_matrices(ffn)]));
}

double fsmoe_ffn_work_backward_weight(const void *args, const struct fsmoe_tensor_info *const *t,
				      int n)
{
	const struct fsmoe_expert_weight_args *a = args;
	const struct fsmoe_tensor_info *const *x = t + a->net.ffn->nweights + 1;
	double elements = 0;

	(void)n;
	for (size_t i = 0; i < a->backward; i++)
		elements += elements_of(args, x[2 * a->forward + i]);
	return flops(a->net.ffn, elements, fsmoe_columns(x[a->forward]));
}

/* --- builders ----------------------------------------------------------------------------- */

static size_t hidden_of(fsmoe_graph_t graph, const struct fsmoe_ffn *ffn,
			const fsmoe_tensor_t *weight)
{
	return fsmoe_shape_of(graph, weight[first_in(ffn)]).dim[1];
}

static struct fsmoe_access *put(struct fsmoe_access *at, int port, fsmoe_tensor_t tensor)
{
	*at = (struct fsmoe_access){tensor, (short)port, 0};
	return at + 1;
}

/* Of some chunks of a pass what arrived, or what was saved. */
static struct fsmoe_access *put_chunks(struct fsmoe_access *at, int port,
				       const struct fsmoe_expert_pass *pass, size_t first,
				       size_t last, int saved)
{
	for (size_t i = first; i < last; i++)
		at = put(at, port, saved ? pass->chunk[i].saved[0] : pass->chunk[i].in);
	return at;
}

/* Scratch for the rows of a block, gathered; needed only where there are counts. */
static fsmoe_tensor_t rows_scratch(fsmoe_graph_t graph, fsmoe_tensor_t counts, size_t rows,
				   size_t columns)
{
	return counts == FSMOE_NONE
		       ? FSMOE_NONE
		       : fsmoe_graph_activation(graph, FSMOE_REAL,
						FSMOE_SHAPE2(block_rows(rows), columns),
						"expert.rows");
}

fsmoe_tensor_t fsmoe_ffn_forward(fsmoe_graph_t graph, struct fsmoe_expert_args net,
				 fsmoe_tensor_t counts, const fsmoe_tensor_t *weight,
				 struct fsmoe_expert_chunk *chunk)
{
	const struct fsmoe_ffn *ffn = net.ffn;
	struct fsmoe_shape x = fsmoe_shape_of(graph, chunk->in), z = x;
	size_t H = hidden_of(graph, ffn, weight);
	/* With one expert its rows from all sources lie together and are one run; by counts they are
	 * gathered. */
	size_t all = x.dim[0] * x.dim[2];
	size_t run = x.dim[1] == 1 || counts != FSMOE_NONE ? all : x.dim[2];
	struct fsmoe_access access[FSMOE_EXPERT_WEIGHTS + 6], *at = access;
	fsmoe_tensor_t y, saved, h;

	z.dim[3] = H * (size_t)fsmoe_ffn_inputs(ffn);
	y = fsmoe_graph_activation(graph, FSMOE_REAL, x, "expert.y");
	saved = fsmoe_graph_activation(graph, FSMOE_REAL, z, "expert.z");
	h = fsmoe_graph_activation(graph, FSMOE_REAL, FSMOE_SHAPE2(block_rows(run), H),
				   "expert.act");
	at = put(at, 0, chunk->in);
	for (int w = 0; w < ffn->nweights; w++)
		at = put(at, 1 + w, weight[w]);
	at = put(at, 1 + ffn->nweights, y);
	at = put(at, 2 + ffn->nweights, saved);
	at = put(at, 3 + ffn->nweights, h);
	at = put(at, 4 + ffn->nweights, rows_scratch(graph, counts, all, 2 * x.dim[3] + z.dim[3]));
	at = put(at, 5 + ffn->nweights, counts);
	if (fsmoe_graph_append(graph, ffn->forward, &net, sizeof(net), access, (int)(at - access)) <
	    0)
		return FSMOE_NONE;
	chunk->saved[0] = saved;
	return y;
}

/* The pieces of `cuts` that overlap [lo, hi). */
static void cover(struct fsmoe_cuts cuts, size_t lo, size_t hi, size_t *first, size_t *last)
{
	*first = fsmoe_cuts_find(cuts.at, cuts.n, lo);
	*last = fsmoe_cuts_find(cuts.at, cuts.n, hi - 1) + 1;
}

fsmoe_tensor_t fsmoe_ffn_backward_input(fsmoe_graph_t graph, struct fsmoe_expert_args net,
					fsmoe_tensor_t counts, const fsmoe_tensor_t *weight,
					const struct fsmoe_expert_pass *forward,
					struct fsmoe_expert_pass *backward, size_t i)
{
	const struct fsmoe_ffn *ffn = net.ffn;
	struct fsmoe_expert_chunk *chunk = &backward->chunk[i];
	struct fsmoe_shape shape = fsmoe_shape_of(graph, chunk->in), shape_z = shape;
	size_t lo = backward->cuts.at[i], hi = backward->cuts.at[i + 1], first, last, size;
	const int DX = 1 + fsmoe_ffn_matrices(ffn), Z = DX + 2;
	struct fsmoe_expert_input_args *args;
	struct fsmoe_access *access, *at;
	fsmoe_tensor_t dx, dz;
	int port = 1;

	shape_z.dim[3] = hidden_of(graph, ffn, weight) * (size_t)fsmoe_ffn_inputs(ffn);
	cover(forward->cuts, lo, hi, &first, &last);
	size = FSMOE_CUTS_SIZE(struct fsmoe_expert_input_args, last - first);
	args = fsmoe_graph_alloc(graph, size);
	at = access = fsmoe_graph_alloc(graph, ((size_t)Z + 2 + last - first) * sizeof(*access));
	if (!args || !access)
		return FSMOE_NONE;
	*args = (struct fsmoe_expert_input_args){net, lo, hi, last - first};
	memcpy(args->at, forward->cuts.at + first, (last - first + 1) * sizeof(*args->at));

	dx = fsmoe_graph_activation(graph, FSMOE_REAL, shape, "expert.dx");
	dz = fsmoe_graph_activation(graph, FSMOE_REAL, shape_z, "expert.dz");
	at = put(at, 0, chunk->in);
	for (int w = 0; w < ffn->nweights; w++)
		if (is_matrix(ffn->part[w]))
			at = put(at, port++, weight[w]);
	at = put(at, DX, dx);
	at = put(at, DX + 1, dz);
	at = put_chunks(at, Z, forward, first, last, 1);
	at = put(at, Z + 1,
		 rows_scratch(graph, counts, shape.dim[0] * shape.dim[2],
			      2 * shape.dim[3] + shape_z.dim[3]));
	at = put(at, Z + 2, counts);
	if (fsmoe_graph_append(graph, ffn->backward_input, args, size, access, (int)(at - access)) <
	    0)
		return FSMOE_NONE;
	chunk->saved[0] = dz;
	return dx;
}

void fsmoe_ffn_backward_weight(fsmoe_graph_t graph, struct fsmoe_expert_args net,
			       fsmoe_tensor_t counts, const fsmoe_tensor_t *gradient,
			       const struct fsmoe_expert_pass *forward,
			       const struct fsmoe_expert_pass *backward, size_t first, size_t last)
{
	const struct fsmoe_ffn *ffn = net.ffn;
	const size_t *cut = backward->cuts.at;
	const int ROWS = ffn->nweights, X = ROWS + 1;
	size_t first_forward, last_forward, nf, nb = last - first, size;
	struct fsmoe_expert_weight_args *args;
	struct fsmoe_access *access, *at;

	cover(forward->cuts, cut[first], cut[last], &first_forward, &last_forward);
	nf = last_forward - first_forward;
	size = FSMOE_CUTS_SIZE(struct fsmoe_expert_weight_args, nf + nb + 1);
	args = fsmoe_graph_alloc(graph, size);
	at = access = fsmoe_graph_alloc(graph, ((size_t)X + 2 * nf + 2 * nb + 1) * sizeof(*access));
	if (!args || !access)
		return;
	net.filled.lo = cut[first];
	net.filled.hi = cut[last];
	*args = (struct fsmoe_expert_weight_args){net, nf, nb};
	memcpy(args->at, forward->cuts.at + first_forward, (nf + 1) * sizeof(*cut));
	memcpy(args->at + nf + 1, cut + first, (nb + 1) * sizeof(*cut));

	struct fsmoe_shape x = fsmoe_shape_of(graph, forward->chunk[first_forward].in);
	struct fsmoe_shape z = fsmoe_shape_of(graph, forward->chunk[first_forward].saved[0]);
	size_t rows = block_rows(x.dim[0] * (cut[last] - cut[first]));
	fsmoe_tensor_t scratch = fsmoe_graph_activation(
		graph, FSMOE_REAL, FSMOE_SHAPE2(rows, 2 * (x.dim[3] + z.dim[3])), "expert.rows");
	for (int w = 0; w < ffn->nweights; w++)
		at = put(at, w, gradient[w]);
	at = put(at, ROWS, scratch);
	at = put_chunks(at, X, forward, first_forward, last_forward, 0);
	at = put_chunks(at, X + 1, forward, first_forward, last_forward, 1);
	at = put_chunks(at, X + 2, backward, first, last, 0);
	at = put_chunks(at, X + 3, backward, first, last, 1);
	at = put(at, X + 4, counts);
	fsmoe_graph_append(graph, ffn->backward_weight, args, size, access, (int)(at - access));
}

int fsmoe_ffn_grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	const struct fsmoe_access *a = node->access;
	const struct fsmoe_expert_args net = *(const struct fsmoe_expert_args *)node->args;
	const struct fsmoe_ffn *ffn = net.ffn;
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	const size_t at[2] = {0, fsmoe_shape_of(graph, a[0].tensor).dim[2]};
	struct fsmoe_expert_chunk x = {a[0].tensor, {a[2 + ffn->nweights].tensor}};
	struct fsmoe_expert_chunk dy = {fsmoe_backward_out(backward, a[1 + ffn->nweights].tensor),
					{FSMOE_NONE}};
	const struct fsmoe_expert_pass forward = {{1, at}, &x};
	struct fsmoe_expert_pass back = {{1, at}, &dy};
	fsmoe_tensor_t weight[FSMOE_EXPERT_WEIGHTS], gradient[FSMOE_EXPERT_WEIGHTS], dx;
	const fsmoe_tensor_t counts = a[5 + ffn->nweights].tensor;

	if (dy.in == FSMOE_NONE)
		return 0;
	for (int w = 0; w < ffn->nweights; w++)
	{
		weight[w] = a[1 + w].tensor;
		gradient[w] = fsmoe_backward_param(backward, weight[w]);
	}
	dx = fsmoe_ffn_backward_input(graph, net, counts, weight, &forward, &back, 0);
	if (fsmoe_backward_wants(backward, x.in))
		fsmoe_backward_give(backward, x.in, dx);
	fsmoe_ffn_backward_weight(graph, net, counts, gradient, &forward, &back, 0, 1);
	return fsmoe_graph_status(graph);
}
