/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/optimizer.h"
#include "codelets/shape.h"
#include "graph/basic.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

void fsmoe_zero(fsmoe_graph_t graph, fsmoe_tensor_t x)
{
	fsmoe_fill_with(graph, x, 0);
}

/* --- sum of squares ----------------------------------------------------------------------- */

static const struct fsmoe_port sum_squares_ports[] = {
	{"x", FSMOE_R, FSMOE_FLOAT, "..."},
	{"out", FSMOE_RW, FSMOE_FLOAT, "1"},
};

void fsmoe_sum_squares(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t out, double scale)
{
	const struct fsmoe_sum_squares_args args = {.scale = scale};

	fsmoe_graph_append(graph, &fsmoe_op_sum_squares, &args, sizeof(args),
			   FSMOE_ACCESSES(x, out));
}

/* --- adamw, sgd --------------------------------------------------------------------------- */

enum
{
	PARAM,
	GRAD,
	NORM2,
	M, /* adamw only */
	V
};

static const struct fsmoe_port adamw_ports[] = {
	[PARAM] = {"param", FSMOE_RW, FSMOE_FLOAT, "n"},
	[GRAD] = {"grad", FSMOE_R, FSMOE_FLOAT, "n"},
	[NORM2] = {"norm2", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "1"},
	[M] = {"m", FSMOE_RW, FSMOE_FLOAT, "n"},
	[V] = {"v", FSMOE_RW, FSMOE_FLOAT, "n"},
};

static const struct fsmoe_port sgd_ports[] = {
	[PARAM] = {"param", FSMOE_RW, FSMOE_FLOAT, "n"},
	[GRAD] = {"grad", FSMOE_R, FSMOE_FLOAT, "n"},
	[NORM2] = {"norm2", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "1"},
};

/* Segments come in ascending order, so that it is plain that they do not overlap. */
static int check_update(const struct fsmoe_check *c, const struct fsmoe_segment *segment,
			size_t nsegments)
{
	size_t n = fsmoe_count(c->tensor[PARAM]), end = 0;

	for (size_t i = 0; i < nsegments; end = segment[i].offset + segment[i].count, i++)
		if (segment[i].offset < end || segment[i].count > n ||
		    segment[i].offset > n - segment[i].count)
			return fsmoe_fail(
				EINVAL,
				"%s: segment %zu (%zu elements from %zu on) does not follow "
				"the one before it within the %zu elements of '%s'",
				c->op->name, i, segment[i].count, segment[i].offset, n,
				c->tensor[PARAM]->name);
	return 0;
}

static int check_adamw(const struct fsmoe_check *c)
{
	const struct fsmoe_adamw_args *a = c->args;

	if (!(a->beta1 >= 0 && a->beta1 < 1 && a->beta2 >= 0 && a->beta2 < 1 && a->eps >= 0))
		return fsmoe_fail(
			EINVAL,
			"adamw: beta1 %g and beta2 %g must be in 0 .. 1 (below 1), eps %g "
			"not negative",
			a->beta1, a->beta2, a->eps);
	return check_update(c, (const struct fsmoe_segment *)(a + 1), a->nsegments);
}

static int check_sgd(const struct fsmoe_check *c)
{
	const struct fsmoe_sgd_args *a = c->args;

	return check_update(c, (const struct fsmoe_segment *)(a + 1), a->nsegments);
}

/* Appends a node whose arguments are a struct and the segments after it. */
static void append_update(fsmoe_graph_t graph, const struct fsmoe_op *op, const void *args,
			  size_t args_size, const struct fsmoe_segment *segments, size_t nsegments,
			  const struct fsmoe_access *access, int naccess)
{
	size_t size = args_size + nsegments * sizeof(*segments);
	char *all = fsmoe_graph_alloc(graph, size);

	if (!all) /* the graph knows */
		return;
	memcpy(all, args, args_size);
	if (nsegments)
		memcpy(all + args_size, segments, nsegments * sizeof(*segments));
	fsmoe_graph_append(graph, op, all, size, access, naccess);
}

void fsmoe_adamw(fsmoe_graph_t graph, fsmoe_tensor_t param, fsmoe_tensor_t grad, fsmoe_tensor_t m,
		 fsmoe_tensor_t v, fsmoe_tensor_t norm2, const struct fsmoe_adamw_args *args,
		 const struct fsmoe_segment *segments)
{
	append_update(graph, &fsmoe_op_adamw, args, sizeof(*args), segments, args->nsegments,
		      FSMOE_ACCESSES(param, grad, norm2, m, v));
}

void fsmoe_sgd(fsmoe_graph_t graph, fsmoe_tensor_t param, fsmoe_tensor_t grad, fsmoe_tensor_t norm2,
	       const struct fsmoe_sgd_args *args, const struct fsmoe_segment *segments)
{
	append_update(graph, &fsmoe_op_sgd, args, sizeof(*args), segments, args->nsegments,
		      FSMOE_ACCESSES(param, grad, norm2));
}

const struct fsmoe_op fsmoe_op_sum_squares = {
	.name = "sum_squares",
	.doc = "adds the scaled sum of squares",
	.kind = FSMOE_KIND_REDUCTION,
	FSMOE_PORTS(sum_squares_ports),
	.work = fsmoe_work_bytes,
	FSMOE_CPU(sum_squares),
	FSMOE_CUDA_FLOAT(sum_squares),
	FSMOE_CUDA_SCRATCH(sum_squares),
};

const struct fsmoe_op fsmoe_op_adamw = {
	.name = "adamw",
	.doc = "Adam with decoupled weight decay",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(adamw_ports),
	.check = check_adamw,
	.work = fsmoe_work_bytes,
	FSMOE_CPU(adamw),
	FSMOE_CUDA_FLOAT(adamw),
};

const struct fsmoe_op fsmoe_op_sgd = {
	.name = "sgd",
	.doc = "stochastic gradient descent with decoupled weight decay",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(sgd_ports),
	.check = check_sgd,
	.work = fsmoe_work_bytes,
	FSMOE_CPU(sgd),
	FSMOE_CUDA_FLOAT(sgd),
};
