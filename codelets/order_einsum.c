/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/order_einsum.h"
#include "codelets/cuts.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

/* --- masks from lists --------------------------------------------------------------------- */

enum
{
	M_EXPERT,
	M_SLOT,
	M_WEIGHT,
	M_DISPATCH,
	M_COMBINE
};

static const struct fsmoe_port mask_ports[] = {
	[M_EXPERT] = {"expert", FSMOE_R, FSMOE_INTS, "T k"},
	[M_SLOT] = {"slot", FSMOE_R, FSMOE_INTS, "T k"},
	[M_WEIGHT] = {"weight", FSMOE_R, FSMOE_FLOAT, "T k"},
	[M_DISPATCH] = {"dispatch", FSMOE_W, FSMOE_FLOAT, "T S"},
	[M_COMBINE] = {"combine", FSMOE_W, FSMOE_FLOAT, "T S"},
};

enum
{
	MB_EXPERT,
	MB_SLOT,
	MB_DCOMBINE,
	MB_DWEIGHT
};

static const struct fsmoe_port mask_backward_ports[] = {
	[MB_EXPERT] = {"expert", FSMOE_R, FSMOE_INTS, "T k"},
	[MB_SLOT] = {"slot", FSMOE_R, FSMOE_INTS, "T k"},
	[MB_DCOMBINE] = {"dcombine", FSMOE_R, FSMOE_FLOAT, "T S"},
	[MB_DWEIGHT] = {"dweight", FSMOE_W, FSMOE_FLOAT, "T k"},
};

static int check_group(const struct fsmoe_check *c, size_t rows, size_t group)
{
	if (group > 0 && rows % group == 0)
		return 0;
	return fsmoe_fail(EINVAL, "%s: %zu tokens do not divide into routing groups of %zu",
			  c->op->name, rows, group);
}

static int check_mask(const struct fsmoe_check *c)
{
	const struct fsmoe_einsum_sizes *s = c->args;

	fsmoe_check_letter(c, 'S', s->experts * s->capacity);
	return check_group(c, fsmoe_rows(c->tensor[M_EXPERT]), s->group);
}

/* The dispatch mask holds no weight: nothing flows through it. */
static int grad_mask(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	const struct fsmoe_access *a = node->access;
	fsmoe_tensor_t weight = a[M_WEIGHT].tensor, dweight;
	fsmoe_tensor_t dcombine = fsmoe_backward_out(backward, a[M_COMBINE].tensor);

	if (dcombine == FSMOE_NONE || !fsmoe_backward_wants(backward, weight))
		return 0;
	dweight = fsmoe_graph_like(graph, weight, "d.");
	fsmoe_graph_append(graph, &fsmoe_op_order_mask_backward, node->args,
			   sizeof(struct fsmoe_einsum_sizes),
			   FSMOE_ACCESSES(a[M_EXPERT].tensor, a[M_SLOT].tensor, dcombine, dweight));
	fsmoe_backward_give(backward, weight, dweight);
	return fsmoe_graph_status(graph);
}

void fsmoe_order_mask(fsmoe_graph_t graph, const struct fsmoe_einsum_sizes *sizes,
		      struct fsmoe_routing *routing)
{
	struct fsmoe_shape shape = FSMOE_SHAPE2(fsmoe_shape_of(graph, routing->expert).dim[0],
						sizes->experts * sizes->capacity);

	routing->dispatch = fsmoe_graph_activation(graph, FSMOE_WIDE, shape, "order.dispatch");
	routing->combine = fsmoe_graph_activation(graph, FSMOE_WIDE, shape, "order.combine");
	fsmoe_graph_append(graph, &fsmoe_op_order_mask, sizes, sizeof(*sizes),
			   FSMOE_ACCESSES(routing->expert, routing->slot, routing->weight,
					  routing->dispatch, routing->combine));
}

/* --- products ----------------------------------------------------------------------------- */

enum
{
	FIRST, /* what is written, or the rows that are read */
	SECOND,
	PACKED, /* of einsum_slots the chunk */
	CHUNK
};

static const struct fsmoe_port slots_ports[] = {
	[FIRST] = {"rows", FSMOE_R, 0, "T M"},
	[SECOND] = {"mask", FSMOE_R, FSMOE_FLOAT, "T S"},
	[PACKED] = {"chunk", FSMOE_W, 0, "_ M"},
};
static const struct fsmoe_port rows_ports[] = {
	[FIRST] = {"rows", FSMOE_W, 0, "T M"},
	[SECOND] = {"mask", FSMOE_R, FSMOE_FLOAT, "T S"},
	[PACKED] = {"packed", FSMOE_W, FSMOE_SCRATCH, "S M"},
	[CHUNK] = {"chunk", FSMOE_R, FSMOE_MANY, "_ M"},
};
static const struct fsmoe_port gradient_ports[] = {
	[FIRST] = {"rows", FSMOE_R, 0, "T M"},
	[SECOND] = {"dmask", FSMOE_W, FSMOE_FLOAT, "T S"},
	[PACKED] = {"packed", FSMOE_W, FSMOE_SCRATCH, "S M"},
	[CHUNK] = {"chunk", FSMOE_R, FSMOE_MANY, "_ M"},
};

/* Also of the one chunk that einsum_slots writes, in the place of PACKED. */
static int check_products(const struct fsmoe_check *c, int chunk)
{
	const struct fsmoe_einsum_args *a = c->args;
	const struct fsmoe_einsum_sizes *s = &a->sizes;
	size_t rows = fsmoe_rows(c->tensor[FIRST]), dim = fsmoe_columns(c->tensor[FIRST]);

	fsmoe_check_letter(c, 'S', s->experts * s->capacity);
	if (check_group(c, rows, s->group))
		return -EINVAL;
	if ((size_t)(c->n - chunk) != a->n || a->n < 1 ||
	    a->at[a->n] > rows / s->group * s->capacity)
		return fsmoe_fail(EINVAL, "%s: %d chunks of %zu, up to slot %zu", c->op->name,
				  c->n - chunk, a->n, a->at[a->n]);
	for (size_t i = 0; i < a->n; i++)
		if (a->at[i + 1] <= a->at[i] ||
		    fsmoe_check_matrix(c, chunk + (int)i, s->experts * (a->at[i + 1] - a->at[i]),
				       dim))
			return fsmoe_fail(EINVAL, "%s: chunk %zu is not slots %zu to %zu",
					  c->op->name, i, a->at[i], a->at[i + 1]);
	return 0;
}

static int check_slots(const struct fsmoe_check *c)
{
	return check_products(c, PACKED);
}

static int check_chunks(const struct fsmoe_check *c)
{
	return check_products(c, CHUNK);
}

/* A token meets every slot of its group. */
static double work_slots(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	const struct fsmoe_einsum_args *a = args;

	(void)n;
	return 2.0 * (double)fsmoe_count(t[PACKED]) * (double)a->sizes.group;
}

static double work_chunks(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)args, (void)n;
	return 2.0 * (double)fsmoe_count(t[SECOND]) * (double)fsmoe_columns(t[FIRST]);
}

fsmoe_tensor_t fsmoe_einsum_slots(fsmoe_graph_t graph, const struct fsmoe_einsum_sizes *sizes,
				  fsmoe_tensor_t rows, fsmoe_tensor_t mask, size_t lo, size_t hi)
{
	size_t size = FSMOE_CUTS_SIZE(struct fsmoe_einsum_args, 1);
	struct fsmoe_einsum_args *args = fsmoe_graph_alloc(graph, size);
	size_t dim = fsmoe_shape_of(graph, rows).dim[1], span = hi > lo ? hi - lo : 0;
	fsmoe_tensor_t chunk = fsmoe_graph_activation(
		graph, FSMOE_REAL, FSMOE_SHAPE3(sizes->experts, span, dim), "einsum.chunk");

	if (!args)
		return FSMOE_NONE;
	*args = (struct fsmoe_einsum_args){*sizes, 1};
	args->at[0] = lo;
	args->at[1] = hi;
	if (fsmoe_graph_append(graph, &fsmoe_op_einsum_slots, args, size,
			       FSMOE_ACCESSES(rows, mask, chunk)) < 0)
		return FSMOE_NONE;
	return chunk;
}

static int append_chunks(fsmoe_graph_t graph, const struct fsmoe_op *op,
			 const struct fsmoe_einsum_sizes *sizes, fsmoe_tensor_t first,
			 fsmoe_tensor_t second, struct fsmoe_cuts cuts, const fsmoe_tensor_t *chunk)
{
	size_t size = FSMOE_CUTS_SIZE(struct fsmoe_einsum_args, cuts.n);
	struct fsmoe_einsum_args *args = fsmoe_graph_alloc(graph, size);
	struct fsmoe_access *access = fsmoe_graph_alloc(graph, (CHUNK + cuts.n) * sizeof(*access));
	size_t dim = fsmoe_shape_of(graph, first).dim[1];
	fsmoe_tensor_t packed = fsmoe_graph_activation(
		graph, FSMOE_REAL, FSMOE_SHAPE2(sizes->experts * sizes->capacity, dim),
		"einsum.packed");

	if (!args || !access)
		return FSMOE_NONE;
	*args = (struct fsmoe_einsum_args){*sizes, cuts.n};
	memcpy(args->at, cuts.at, (cuts.n + 1) * sizeof(*cuts.at));
	access[FIRST] = (struct fsmoe_access){first, FIRST, 0};
	access[SECOND] = (struct fsmoe_access){second, SECOND, 0};
	access[PACKED] = (struct fsmoe_access){packed, PACKED, 0};
	for (size_t i = 0; i < cuts.n; i++)
		access[CHUNK + i] = (struct fsmoe_access){chunk[i], CHUNK, 0};
	return fsmoe_graph_append(graph, op, args, size, access, CHUNK + (int)cuts.n);
}

fsmoe_tensor_t fsmoe_einsum_rows(fsmoe_graph_t graph, const struct fsmoe_einsum_sizes *sizes,
				 fsmoe_tensor_t mask, struct fsmoe_cuts cuts,
				 const fsmoe_tensor_t *chunk)
{
	struct fsmoe_shape shape = fsmoe_shape_of(graph, chunk[0]);
	size_t dim = shape.ndim > 0 ? shape.dim[shape.ndim - 1] : 0;
	fsmoe_tensor_t rows = fsmoe_graph_activation(
		graph, FSMOE_REAL, FSMOE_SHAPE2(fsmoe_shape_of(graph, mask).dim[0], dim),
		"einsum.rows");

	if (append_chunks(graph, &fsmoe_op_einsum_rows, sizes, rows, mask, cuts, chunk) < 0)
		return FSMOE_NONE;
	return rows;
}

fsmoe_tensor_t fsmoe_einsum_mask(fsmoe_graph_t graph, const struct fsmoe_einsum_sizes *sizes,
				 fsmoe_tensor_t rows, struct fsmoe_cuts cuts,
				 const fsmoe_tensor_t *chunk)
{
	fsmoe_tensor_t mask = fsmoe_graph_activation(
		graph, FSMOE_WIDE,
		FSMOE_SHAPE2(fsmoe_shape_of(graph, rows).dim[0], sizes->experts * sizes->capacity),
		"einsum.dmask");

	if (append_chunks(graph, &fsmoe_op_einsum_mask, sizes, rows, mask, cuts, chunk) < 0)
		return FSMOE_NONE;
	return mask;
}

/* --- rows --------------------------------------------------------------------------------- */

const struct fsmoe_op fsmoe_op_order_mask = {
	.name = "order_mask",
	.doc = "matrices of tokens and slots from lists",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(mask_ports),
	.check = check_mask,
	.work = fsmoe_work_bytes,
	.grad = grad_mask,
	FSMOE_CPU(order_mask),
	FSMOE_CUDA_FLOAT(order_mask),
};

const struct fsmoe_op fsmoe_op_order_mask_backward = {
	.name = "order_mask.backward",
	.doc = "gradients of the weights out of that of the combine matrix",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(mask_backward_ports),
	.check = check_mask,
	.work = fsmoe_work_bytes,
	FSMOE_CPU(order_mask_backward),
	FSMOE_CUDA_FLOAT(order_mask_backward),
};

const struct fsmoe_op fsmoe_op_einsum_slots = {
	.name = "einsum_slots",
	.doc = "slots of one chunk: transposed mask times rows of tokens",
	.kind = FSMOE_KIND_GEMM,
	FSMOE_PORTS(slots_ports),
	.check = check_slots,
	.work = work_slots,
	FSMOE_CPU(einsum_slots),
	FSMOE_CUDA(einsum_slots),
	FSMOE_CUDA_SCRATCH(einsum_slots),
};

const struct fsmoe_op fsmoe_op_einsum_rows = {
	.name = "einsum_rows",
	.doc = "rows of tokens: mask times the slots of all chunks",
	.kind = FSMOE_KIND_GEMM,
	FSMOE_PORTS(rows_ports),
	.check = check_chunks,
	.work = work_chunks,
	FSMOE_CPU(einsum_rows),
	FSMOE_CUDA(einsum_rows),
	FSMOE_CUDA_SCRATCH(einsum_rows),
};

const struct fsmoe_op fsmoe_op_einsum_mask = {
	.name = "einsum_mask",
	.doc = "gradient of a mask: rows of tokens times the slots of all chunks",
	.kind = FSMOE_KIND_GEMM,
	FSMOE_PORTS(gradient_ports),
	.check = check_chunks,
	.work = work_chunks,
	FSMOE_CPU(einsum_mask),
	FSMOE_CUDA(einsum_mask),
};
