/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/order.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

/* Every row below has its lists in the same places. */
enum
{
	SOURCE, /* tokens: of a gathering row its output */
	EXPERT,
	SLOT,
	FOURTH, /* the chunk that is written, the weight, or the weight's gradient */
	FIFTH
};

#define LISTS(token_name, token_mode)                                                              \
	[SOURCE] = {token_name, token_mode, 0, "T M"},                                             \
	[EXPERT] = {"expert", FSMOE_R, FSMOE_INTS, "T k"},                                         \
	[SLOT] = {"slot", FSMOE_R, FSMOE_INTS, "T k"}

static const struct fsmoe_port order_ports[] = {
	LISTS("x", FSMOE_R),
	[FOURTH] = {"chunk", FSMOE_W, FSMOE_ROWS, "S M"},
};
static const struct fsmoe_port backward_chunk_ports[] = {
	LISTS("dy", FSMOE_R),
	[FOURTH] = {"weight", FSMOE_R, FSMOE_FLOAT, "T k"},
	[FIFTH] = {"dchunk", FSMOE_W, FSMOE_ROWS, "S M"},
};
static const struct fsmoe_port order_backward_ports[] = {
	LISTS("dx", FSMOE_W),
	[FOURTH] = {"dchunk", FSMOE_R, FSMOE_MANY, "_ M"},
};
static const struct fsmoe_port inverse_ports[] = {
	LISTS("y", FSMOE_W),
	[FOURTH] = {"weight", FSMOE_R, FSMOE_FLOAT, "T k"},
	[FIFTH] = {"chunk", FSMOE_R, FSMOE_MANY, "_ M"},
};
static const struct fsmoe_port backward_weight_ports[] = {
	LISTS("dy", FSMOE_R),
	[FOURTH] = {"dweight", FSMOE_W, FSMOE_FLOAT, "T k"},
	[FIFTH] = {"chunk", FSMOE_R, FSMOE_MANY, "_ M"},
};

/* --- checks ------------------------------------------------------------------------------- */

static int fail_empty(const struct fsmoe_check *c, size_t lo, size_t hi)
{
	return fsmoe_fail(EINVAL, "%s: the chunk of slots %zu to %zu is empty", c->op->name, lo,
			  hi);
}

static int check_chunk(const struct fsmoe_check *c)
{
	const struct fsmoe_order_args *a = c->args;

	if (a->hi <= a->lo)
		return fail_empty(c, a->lo, a->hi);
	fsmoe_check_letter(c, 'S', a->experts * (a->hi - a->lo));
	return 0;
}

static int check_chunks(const struct fsmoe_check *c)
{
	const struct fsmoe_cuts_args *a = c->args;
	const int first = c->op->nports - 1;

	if ((size_t)(c->n - first) != a->n)
		return fsmoe_fail(EINVAL, "%s: %zu pieces are cut but %d chunks given", c->op->name,
				  a->n, c->n - first);
	for (size_t i = 0; i < a->n; i++)
	{
		if (a->at[i + 1] <= a->at[i])
			return fail_empty(c, a->at[i], a->at[i + 1]);
		if (fsmoe_check_matrix(c, first + (int)i, a->experts * (a->at[i + 1] - a->at[i]),
				       fsmoe_columns(c->tensor[SOURCE])))
			return -EINVAL;
	}
	return 0;
}

/* --- builders ----------------------------------------------------------------------------- */

static fsmoe_tensor_t append_chunk(fsmoe_graph_t graph, const struct fsmoe_op *op,
				   const struct fsmoe_lists *lists, fsmoe_tensor_t source,
				   fsmoe_tensor_t weight, size_t lo, size_t hi)
{
	const struct fsmoe_order_args args = {lists->experts, lo, hi, lists->by_rows};
	size_t rows = hi > lo ? hi - lo : 0, dim = fsmoe_shape_of(graph, source).dim[1];
	fsmoe_tensor_t chunk = fsmoe_graph_activation(
		graph, FSMOE_REAL, FSMOE_SHAPE3(lists->experts, rows, dim), "%s", op->name);
	const struct fsmoe_access access[] = {
		{source, SOURCE, 0},    {lists->expert, EXPERT, 0},
		{lists->slot, SLOT, 0}, {op == &fsmoe_op_order ? chunk : weight, FOURTH, 0},
		{chunk, FIFTH, 0},
	};

	if (fsmoe_graph_append(graph, op, &args, sizeof(args), access, op->nports) < 0)
		return FSMOE_NONE;
	return chunk;
}

fsmoe_tensor_t fsmoe_order_chunk(fsmoe_graph_t graph, const struct fsmoe_lists *lists,
				 fsmoe_tensor_t x, size_t lo, size_t hi)
{
	return append_chunk(graph, &fsmoe_op_order, lists, x, FSMOE_NONE, lo, hi);
}

fsmoe_tensor_t fsmoe_inverse_order_backward_chunk(fsmoe_graph_t graph,
						  const struct fsmoe_lists *lists,
						  fsmoe_tensor_t dy, size_t lo, size_t hi)
{
	return append_chunk(graph, &fsmoe_op_inverse_order_backward_chunk, lists, dy, lists->weight,
			    lo, hi);
}

/* A node that reads all chunks. `token` is SOURCE, `fourth` the FOURTH unless that is the chunks
 * themselves. */
static int append_all(fsmoe_graph_t graph, const struct fsmoe_op *op,
		      const struct fsmoe_lists *lists, fsmoe_tensor_t token, fsmoe_tensor_t fourth,
		      struct fsmoe_cuts cuts, const fsmoe_tensor_t *chunk)
{
	size_t size = FSMOE_CUTS_SIZE(struct fsmoe_cuts_args, cuts.n);
	struct fsmoe_cuts_args *args = fsmoe_graph_alloc(graph, size);
	struct fsmoe_access *access = fsmoe_graph_alloc(graph, (FIFTH + cuts.n) * sizeof(*access));
	int chunks = op->nports - 1;

	if (!args || !access)
		return FSMOE_NONE;
	args->experts = lists->experts;
	args->n = cuts.n;
	memcpy(args->at, cuts.at, (cuts.n + 1) * sizeof(*cuts.at));
	access[SOURCE] = (struct fsmoe_access){token, SOURCE, 0};
	access[EXPERT] = (struct fsmoe_access){lists->expert, EXPERT, 0};
	access[SLOT] = (struct fsmoe_access){lists->slot, SLOT, 0};
	access[FOURTH] = (struct fsmoe_access){fourth, FOURTH, 0};
	for (size_t i = 0; i < cuts.n; i++)
		access[(size_t)chunks + i] = (struct fsmoe_access){chunk[i], (short)chunks, 0};
	return fsmoe_graph_append(graph, op, args, size, access, chunks + (int)cuts.n);
}

static struct fsmoe_shape tokens_shape(fsmoe_graph_t graph, const struct fsmoe_lists *lists,
				       fsmoe_tensor_t chunk)
{
	struct fsmoe_shape shape = fsmoe_shape_of(graph, chunk);

	return FSMOE_SHAPE2(fsmoe_shape_of(graph, lists->expert).dim[0],
			    shape.ndim > 0 ? shape.dim[shape.ndim - 1] : 0);
}

fsmoe_tensor_t fsmoe_order_backward(fsmoe_graph_t graph, const struct fsmoe_lists *lists,
				    struct fsmoe_cuts cuts, const fsmoe_tensor_t *dchunk)
{
	fsmoe_tensor_t dx = fsmoe_graph_activation(
		graph, FSMOE_REAL, tokens_shape(graph, lists, dchunk[0]), "order.dx");

	return append_all(graph, &fsmoe_op_order_backward, lists, dx, FSMOE_NONE, cuts, dchunk) < 0
		       ? FSMOE_NONE
		       : dx;
}

fsmoe_tensor_t fsmoe_inverse_order(fsmoe_graph_t graph, const struct fsmoe_lists *lists,
				   struct fsmoe_cuts cuts, const fsmoe_tensor_t *chunk)
{
	fsmoe_tensor_t y = fsmoe_graph_activation(
		graph, FSMOE_REAL, tokens_shape(graph, lists, chunk[0]), "inverse_order");

	return append_all(graph, &fsmoe_op_inverse_order, lists, y, lists->weight, cuts, chunk) < 0
		       ? FSMOE_NONE
		       : y;
}

fsmoe_tensor_t fsmoe_inverse_order_backward_weight(fsmoe_graph_t graph,
						   const struct fsmoe_lists *lists,
						   fsmoe_tensor_t dy, struct fsmoe_cuts cuts,
						   const fsmoe_tensor_t *chunk)
{
	fsmoe_tensor_t dweight = fsmoe_graph_activation(
		graph, FSMOE_WIDE, fsmoe_shape_of(graph, lists->weight), "gate.dweight");

	return append_all(graph, &fsmoe_op_inverse_order_backward_weight, lists, dy, dweight, cuts,
			  chunk) < 0
		       ? FSMOE_NONE
		       : dweight;
}

/* --- differentiation of single nodes ------------------------------------------------------ */

static int grad_order(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	const struct fsmoe_order_args *args = node->args;
	const struct fsmoe_access *a = node->access;
	const struct fsmoe_lists lists = {args->experts, a[EXPERT].tensor, a[SLOT].tensor,
					  FSMOE_NONE, args->by_rows};
	const size_t at[2] = {args->lo, args->hi};
	fsmoe_tensor_t dchunk = fsmoe_backward_out(backward, a[FOURTH].tensor);

	if (dchunk == FSMOE_NONE || !fsmoe_backward_wants(backward, a[SOURCE].tensor))
		return 0;
	fsmoe_backward_give(backward, a[SOURCE].tensor,
			    fsmoe_order_backward(fsmoe_backward_graph(backward), &lists,
						 (struct fsmoe_cuts){1, at}, &dchunk));
	return fsmoe_graph_status(fsmoe_backward_graph(backward));
}

static int grad_inverse(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	const struct fsmoe_cuts_args *args = node->args;
	const struct fsmoe_access *a = node->access;
	const struct fsmoe_lists lists = {args->experts, a[EXPERT].tensor, a[SLOT].tensor,
					  a[FOURTH].tensor, 0};
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, a[SOURCE].tensor);
	fsmoe_tensor_t *chunk = fsmoe_graph_alloc(graph, args->n * sizeof(*chunk));

	if (dy == FSMOE_NONE || !chunk)
		return fsmoe_graph_status(graph);
	for (size_t i = 0; i < args->n; i++)
	{
		chunk[i] = a[FIFTH + i].tensor;
		if (fsmoe_backward_wants(backward, chunk[i]))
			fsmoe_backward_give(backward, chunk[i],
					    fsmoe_inverse_order_backward_chunk(graph, &lists, dy,
									       args->at[i],
									       args->at[i + 1]));
	}
	if (fsmoe_backward_wants(backward, lists.weight))
		fsmoe_backward_give(
			backward, lists.weight,
			fsmoe_inverse_order_backward_weight(
				graph, &lists, dy, (struct fsmoe_cuts){args->n, args->at}, chunk));
	return fsmoe_graph_status(graph);
}

/* --- rows --------------------------------------------------------------------------------- */

const struct fsmoe_op fsmoe_op_order = {
	.name = "order",
	.doc = "copies tokens to the slots of one chunk",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(order_ports),
	.check = check_chunk,
	.work = fsmoe_work_bytes,
	.grad = grad_order,
	FSMOE_CPU(order),
	FSMOE_CUDA(order),
	FSMOE_CUDA_SCRATCH(order),
};

const struct fsmoe_op fsmoe_op_order_backward = {
	.name = "order.backward",
	.doc = "sums the gradients of a token's slots over all chunks",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(order_backward_ports),
	.check = check_chunks,
	.work = fsmoe_work_bytes,
	FSMOE_CPU(order_backward),
	FSMOE_CUDA(order_backward),
};

const struct fsmoe_op fsmoe_op_inverse_order = {
	.name = "inverse_order",
	.doc = "weighted sum of a token's slots over all chunks",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(inverse_ports),
	.check = check_chunks,
	.work = fsmoe_work_bytes,
	.grad = grad_inverse,
	FSMOE_CPU(inverse_order),
	FSMOE_CUDA(inverse_order),
};

const struct fsmoe_op fsmoe_op_inverse_order_backward_chunk = {
	.name = "inverse_order.backward_chunk",
	.doc = "copies weighted gradients of tokens to the slots of one chunk",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(backward_chunk_ports),
	.check = check_chunk,
	.work = fsmoe_work_bytes,
	FSMOE_CPU(inverse_order_backward_chunk),
	FSMOE_CUDA(inverse_order_backward_chunk),
	FSMOE_CUDA_SCRATCH(inverse_order_backward_chunk),
};

const struct fsmoe_op fsmoe_op_inverse_order_backward_weight = {
	.name = "inverse_order.backward_weight",
	.doc = "gradients of the weights: products of a token's gradient with its slots",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(backward_weight_ports),
	.check = check_chunks,
	.work = fsmoe_work_bytes,
	FSMOE_CPU(inverse_order_backward_weight),
	FSMOE_CUDA(inverse_order_backward_weight),
};
