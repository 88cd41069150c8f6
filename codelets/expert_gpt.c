/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_gpt.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

/* Rows that a kernel works on at a time, and its scratch holds: enough for a product to run at
 * full speed, few enough to stay in a cache. */
#define BLOCK 256

static size_t block_rows(size_t rows)
{
	return rows < BLOCK ? rows : BLOCK;
}

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

/* --- forward ------------------------------------------------------------------------------ */

enum
{
	X,
	W1,
	B1,
	W2,
	B2,
	Y,
	Z,
	H,
	NFORWARD
};

static const struct fsmoe_port ports[NFORWARD] = {
	[X] = {"x", FSMOE_R, 0},
	[W1] = {"w1", FSMOE_R, FSMOE_WEIGHT},
	[B1] = {"b1", FSMOE_R, FSMOE_FLOAT},
	[W2] = {"w2", FSMOE_R, FSMOE_WEIGHT},
	[B2] = {"b2", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT},
	[Y] = {"y", FSMOE_W, 0},
	[Z] = {"z", FSMOE_W, 0},
	[H] = {"gelu", FSMOE_W, FSMOE_SCRATCH},
};

static int check(const struct fsmoe_check *c)
{
	struct sizes x = sizes_of(&c->tensor[X]->shape), z = x;

	z.columns = fsmoe_columns(c->tensor[Z]);
	return check_chunk(c, X, x) || check_chunk(c, Y, x) || check_chunk(c, Z, z) ||
			       fsmoe_check_matrix(c, W1, x.experts * z.columns, x.columns) ||
			       fsmoe_check_count(c, B1, x.experts * z.columns) ||
			       fsmoe_check_matrix(c, W2, x.experts * x.columns, z.columns) ||
			       fsmoe_check_count(c, B2, x.experts * x.columns) ||
			       fsmoe_check_matrix(c, H, fsmoe_rows(c->tensor[H]), z.columns)
		       ? -EINVAL
		       : 0;
}

static double work(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)args, (void)n;
	return 4.0 * (double)fsmoe_count(t[X]) * (double)fsmoe_columns(t[Z]);
}

fsmoe_tensor_t fsmoe_expert_gpt(fsmoe_graph_t graph, const fsmoe_tensor_t *weight,
				struct fsmoe_expert_chunk *chunk)
{
	struct fsmoe_shape x = fsmoe_shape_of(graph, chunk->in), z = x;
	struct fsmoe_shape w1 = fsmoe_shape_of(graph, weight[FSMOE_GPT_W1]);

	z.dim[3] = w1.dim[1];

	fsmoe_tensor_t y = fsmoe_graph_activation(graph, FSMOE_REAL, x, "expert.y");
	fsmoe_tensor_t saved = fsmoe_graph_activation(graph, FSMOE_REAL, z, "expert.z");
	/* With one expert its rows from all sources lie together and are one run. */
	size_t run = x.dim[1] == 1 ? x.dim[0] * x.dim[2] : x.dim[2];
	fsmoe_tensor_t h = fsmoe_graph_activation(
		graph, FSMOE_REAL, FSMOE_SHAPE2(block_rows(run), w1.dim[1]), "expert.gelu");

	if (fsmoe_graph_append(graph, &fsmoe_op_expert_gpt, NULL, 0,
			       FSMOE_ACCESSES(chunk->in, weight[FSMOE_GPT_W1], weight[FSMOE_GPT_B1],
					      weight[FSMOE_GPT_W2], weight[FSMOE_GPT_B2], y, saved,
					      h)) < 0)
		return FSMOE_NONE;
	chunk->saved[0] = saved;
	return y;
}

/* --- backward: the input ------------------------------------------------------------------ */

enum
{
	BI_DY,
	BI_W1,
	BI_W2,
	BI_DX,
	BI_DZ,
	BI_Z
};

static const struct fsmoe_port backward_input_ports[] = {
	[BI_DY] = {"dy", FSMOE_R, 0},
	[BI_W1] = {"w1", FSMOE_R, FSMOE_WEIGHT},
	[BI_W2] = {"w2", FSMOE_R, FSMOE_WEIGHT},
	[BI_DX] = {"dx", FSMOE_W, 0},
	[BI_DZ] = {"dz", FSMOE_W, 0},
	[BI_Z] = {"z", FSMOE_R, FSMOE_MANY},
};

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

static int check_backward_input(const struct fsmoe_check *c)
{
	const struct fsmoe_expert_input_args *a = c->args;
	struct sizes x = sizes_of(&c->tensor[BI_DY]->shape), z = x;

	z.columns = fsmoe_columns(c->tensor[BI_DZ]);
	if ((size_t)(c->n - BI_Z) != a->n || a->n == 0 || a->lo < a->at[0] || a->hi > a->at[a->n] ||
	    a->hi - a->lo != x.slots)
		return fsmoe_fail(EINVAL,
				  "%s: slots %zu to %zu of %zu are not covered by what was saved",
				  c->op->name, a->lo, a->hi, x.slots);
	return check_chunk(c, BI_DY, x) || check_chunk(c, BI_DX, x) || check_chunk(c, BI_DZ, z) ||
			       check_pieces(c, BI_Z, a->n, a->at, z) ||
			       fsmoe_check_matrix(c, BI_W1, x.experts * z.columns, x.columns) ||
			       fsmoe_check_matrix(c, BI_W2, x.experts * x.columns, z.columns)
		       ? -EINVAL
		       : 0;
}

static double work_backward_input(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)args, (void)n;
	return 4.0 * (double)fsmoe_count(t[BI_DY]) * (double)fsmoe_columns(t[BI_DZ]);
}

/* The pieces of `cuts` that overlap [lo, hi). */
static void cover(struct fsmoe_cuts cuts, size_t lo, size_t hi, size_t *first, size_t *last)
{
	*first = fsmoe_cuts_find(cuts.at, cuts.n, lo);
	*last = fsmoe_cuts_find(cuts.at, cuts.n, hi - 1) + 1;
}

fsmoe_tensor_t fsmoe_expert_gpt_backward_input(fsmoe_graph_t graph, const fsmoe_tensor_t *weight,
					       const struct fsmoe_expert_pass *forward,
					       struct fsmoe_expert_pass *backward, size_t i)
{
	struct fsmoe_expert_chunk *chunk = &backward->chunk[i];
	struct fsmoe_shape shape = fsmoe_shape_of(graph, chunk->in), shape_z = shape;
	size_t lo = backward->cuts.at[i], hi = backward->cuts.at[i + 1], first, last, size;
	struct fsmoe_expert_input_args *args;
	struct fsmoe_access *access;

	shape_z.dim[3] = fsmoe_shape_of(graph, weight[FSMOE_GPT_W1]).dim[1];
	cover(forward->cuts, lo, hi, &first, &last);
	size = FSMOE_CUTS_SIZE(struct fsmoe_expert_input_args, last - first);
	args = fsmoe_graph_alloc(graph, size);
	access = fsmoe_graph_alloc(graph, (BI_Z + last - first) * sizeof(*access));
	if (!args || !access)
		return FSMOE_NONE;
	*args = (struct fsmoe_expert_input_args){lo, hi, last - first};
	memcpy(args->at, forward->cuts.at + first, (last - first + 1) * sizeof(*args->at));

	fsmoe_tensor_t dx = fsmoe_graph_activation(graph, FSMOE_REAL, shape, "expert.dx");
	fsmoe_tensor_t dz = fsmoe_graph_activation(graph, FSMOE_REAL, shape_z, "expert.dz");
	access[BI_DY] = (struct fsmoe_access){chunk->in, BI_DY, 0};
	access[BI_W1] = (struct fsmoe_access){weight[FSMOE_GPT_W1], BI_W1, 0};
	access[BI_W2] = (struct fsmoe_access){weight[FSMOE_GPT_W2], BI_W2, 0};
	access[BI_DX] = (struct fsmoe_access){dx, BI_DX, 0};
	access[BI_DZ] = (struct fsmoe_access){dz, BI_DZ, 0};
	for (size_t f = first; f < last; f++)
		access[BI_Z + f - first] =
			(struct fsmoe_access){forward->chunk[f].saved[0], BI_Z, 0};
	if (fsmoe_graph_append(graph, &fsmoe_op_expert_gpt_backward_input, args, size, access,
			       BI_Z + (int)(last - first)) < 0)
		return FSMOE_NONE;
	chunk->saved[0] = dz;
	return dx;
}

/* --- backward: the weights ---------------------------------------------------------------- */

enum
{
	BW_DW1,
	BW_DB1,
	BW_DW2,
	BW_DB2,
	BW_ROWS,
	BW_X,
	BW_Z,
	BW_DY,
	BW_DZ
};

static const struct fsmoe_port backward_weight_ports[] = {
	[BW_DW1] = {"dw1", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT},
	[BW_DB1] = {"db1", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT},
	[BW_DW2] = {"dw2", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT},
	[BW_DB2] = {"db2", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT},
	[BW_ROWS] = {"rows", FSMOE_W, FSMOE_SCRATCH},
	[BW_X] = {"x", FSMOE_R, FSMOE_MANY},
	[BW_Z] = {"z", FSMOE_R, FSMOE_MANY},
	[BW_DY] = {"dy", FSMOE_R, FSMOE_MANY},
	[BW_DZ] = {"dz", FSMOE_R, FSMOE_MANY},
};

static int check_backward_weight(const struct fsmoe_check *c)
{
	const struct fsmoe_expert_weight_args *a = c->args;
	const size_t *forward = a->at, *backward = a->at + a->forward + 1;
	int nf = (int)a->forward, nb = (int)a->backward;

	if (nf < 1 || nb < 1 || c->n != BW_X + 2 * nf + 2 * nb || forward[0] > backward[0] ||
	    forward[nf] < backward[nb])
		return fsmoe_fail(EINVAL, "%s: slots %zu to %zu are not covered by what was saved",
				  c->op->name, nb < 1 ? 0 : backward[0], nb < 1 ? 0 : backward[nb]);

	struct sizes x = sizes_of(&c->tensor[BW_X]->shape), z = x;
	z.columns = fsmoe_columns(c->tensor[BW_X + nf]);
	return check_pieces(c, BW_X, a->forward, forward, x) ||
			       check_pieces(c, BW_X + nf, a->forward, forward, z) ||
			       check_pieces(c, BW_X + 2 * nf, a->backward, backward, x) ||
			       check_pieces(c, BW_X + 2 * nf + nb, a->backward, backward, z) ||
			       fsmoe_check_count(c, BW_DW1, x.experts * x.columns * z.columns) ||
			       fsmoe_check_count(c, BW_DB1, x.experts * z.columns) ||
			       fsmoe_check_count(c, BW_DW2, x.experts * x.columns * z.columns) ||
			       fsmoe_check_count(c, BW_DB2, x.experts * x.columns) ||
			       fsmoe_check_matrix(c, BW_ROWS, fsmoe_rows(c->tensor[BW_ROWS]),
						  2 * (x.columns + z.columns))
		       ? -EINVAL
		       : 0;
}

static double work_backward_weight(const void *args, const struct fsmoe_tensor_info *const *t,
				   int n)
{
	const struct fsmoe_expert_weight_args *a = args;
	double elements = 0;

	(void)n;
	for (size_t i = 0; i < a->backward; i++)
		elements += (double)fsmoe_count(t[BW_X + 2 * a->forward + i]);
	return 4.0 * elements * (double)fsmoe_columns(t[BW_X + a->forward]);
}

static struct fsmoe_access *put(struct fsmoe_access *at, int port,
				const struct fsmoe_expert_pass *pass, size_t first, size_t last,
				int saved)
{
	for (size_t i = first; i < last; i++)
		*at++ = (struct fsmoe_access){saved ? pass->chunk[i].saved[0] : pass->chunk[i].in,
					      (short)port, 0};
	return at;
}

void fsmoe_expert_gpt_backward_weight(fsmoe_graph_t graph, const fsmoe_tensor_t *gradient,
				      const struct fsmoe_expert_pass *forward,
				      const struct fsmoe_expert_pass *backward, size_t first,
				      size_t last)
{
	const size_t *cut = backward->cuts.at;
	size_t first_forward, last_forward, nf, nb = last - first, size;
	struct fsmoe_expert_weight_args *args;
	struct fsmoe_access *access, *end;

	cover(forward->cuts, cut[first], cut[last], &first_forward, &last_forward);
	nf = last_forward - first_forward;
	size = FSMOE_CUTS_SIZE(struct fsmoe_expert_weight_args, nf + nb + 1);
	args = fsmoe_graph_alloc(graph, size);
	access = fsmoe_graph_alloc(graph, (BW_X + 2 * nf + 2 * nb) * sizeof(*access));
	if (!args || !access)
		return;
	*args = (struct fsmoe_expert_weight_args){nf, nb};
	memcpy(args->at, forward->cuts.at + first_forward, (nf + 1) * sizeof(*cut));
	memcpy(args->at + nf + 1, cut + first, (nb + 1) * sizeof(*cut));

	struct fsmoe_shape x = fsmoe_shape_of(graph, forward->chunk[first_forward].in);
	struct fsmoe_shape z = fsmoe_shape_of(graph, forward->chunk[first_forward].saved[0]);
	fsmoe_tensor_t rows =
		fsmoe_graph_activation(graph, FSMOE_REAL,
				       FSMOE_SHAPE2(block_rows(x.dim[0] * (cut[last] - cut[first])),
						    2 * (x.dim[3] + z.dim[3])),
				       "expert.rows");
	for (int w = 0; w < FSMOE_GPT_WEIGHTS; w++)
		access[BW_DW1 + w] = (struct fsmoe_access){gradient[w], (short)(BW_DW1 + w), 0};
	access[BW_ROWS] = (struct fsmoe_access){rows, BW_ROWS, 0};
	end = put(&access[BW_X], BW_X, forward, first_forward, last_forward, 0);
	end = put(end, BW_Z, forward, first_forward, last_forward, 1);
	end = put(end, BW_DY, backward, first, last, 0);
	end = put(end, BW_DZ, backward, first, last, 1);
	fsmoe_graph_append(graph, &fsmoe_op_expert_gpt_backward_weight, args, size, access,
			   (int)(end - access));
}

/* --- differentiation of a single node, and rows ------------------------------------------- */

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	const struct fsmoe_access *a = node->access;
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	const fsmoe_tensor_t weight[FSMOE_GPT_WEIGHTS] = {a[W1].tensor, a[B1].tensor, a[W2].tensor,
							  a[B2].tensor};
	const size_t at[2] = {0, fsmoe_shape_of(graph, a[X].tensor).dim[2]};
	struct fsmoe_expert_chunk x = {a[X].tensor, {a[Z].tensor}};
	struct fsmoe_expert_chunk dy = {fsmoe_backward_out(backward, a[Y].tensor), {FSMOE_NONE}};
	const struct fsmoe_expert_pass forward = {{1, at}, &x};
	struct fsmoe_expert_pass back = {{1, at}, &dy};
	fsmoe_tensor_t gradient[FSMOE_GPT_WEIGHTS], dx;

	if (dy.in == FSMOE_NONE)
		return 0;
	dx = fsmoe_expert_gpt_backward_input(graph, weight, &forward, &back, 0);
	if (fsmoe_backward_wants(backward, x.in))
		fsmoe_backward_give(backward, x.in, dx);
	for (int w = 0; w < FSMOE_GPT_WEIGHTS; w++)
		gradient[w] = fsmoe_backward_param(backward, weight[w]);
	fsmoe_expert_gpt_backward_weight(graph, gradient, &forward, &back, 0, 1);
	return fsmoe_graph_status(graph);
}

const struct fsmoe_op fsmoe_op_expert_gpt = {
	.name = "expert_gpt",
	.doc = "gelu(x w1^T + b1) w2^T + b2 of every local expert, on one chunk",
	.kind = FSMOE_KIND_EXPERT,
	FSMOE_PORTS(ports),
	.check = check,
	.work = work,
	.grad = grad,
	FSMOE_CPU(expert_gpt),
	FSMOE_CUDA(expert_gpt),
	FSMOE_CUDA_SCRATCH(expert_gpt),
};

const struct fsmoe_op fsmoe_op_expert_gpt_backward_input = {
	.name = "expert_gpt.backward_input",
	.doc = "dz = (dy w2) gelu'(z), dx = dz w1, on one backward chunk",
	.kind = FSMOE_KIND_EXPERT,
	FSMOE_PORTS(backward_input_ports),
	.check = check_backward_input,
	.work = work_backward_input,
	FSMOE_CPU(expert_gpt_backward_input),
	FSMOE_CUDA(expert_gpt_backward_input),
};

const struct fsmoe_op fsmoe_op_expert_gpt_backward_weight = {
	.name = "expert_gpt.backward_weight",
	.doc = "dw1 += dz^T x, db1 += sum dz, dw2 += dy^T gelu(z), db2 += sum dy",
	.kind = FSMOE_KIND_EXPERT,
	FSMOE_PORTS(backward_weight_ports),
	.check = check_backward_weight,
	.work = work_backward_weight,
	FSMOE_CPU(expert_gpt_backward_weight),
	FSMOE_CUDA(expert_gpt_backward_weight),
	FSMOE_CUDA_SCRATCH(expert_gpt_backward_weight),
};
