/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/route.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>

enum
{
	SCORE,
	EXPERT,
	SLOT,
	WEIGHT,
	COUNTS,
	LIST
};

static const struct fsmoe_port ports[] = {
	[SCORE] = {"score", FSMOE_R, FSMOE_FLOAT},
	[EXPERT] = {"expert", FSMOE_W, 0},
	[SLOT] = {"slot", FSMOE_W, 0},
	[WEIGHT] = {"weight", FSMOE_W, FSMOE_FLOAT},
	[COUNTS] = {"counts", FSMOE_W, 0},
	[LIST] = {"list", FSMOE_W, FSMOE_SCRATCH},
};

static size_t width_of(const struct fsmoe_route_args *args, size_t experts)
{
	return args->topk ? args->topk : experts;
}

static int check_args(const struct fsmoe_route_args *a, size_t rows, size_t experts)
{
	if (a->topk > experts)
		return fsmoe_fail(EINVAL, "route: %zu experts per token of %zu are asked for",
				  a->topk, experts);
	if (a->group < 1 || rows % a->group)
		return fsmoe_fail(EINVAL,
				  "route: %zu tokens do not divide into routing groups of %zu",
				  rows, a->group);
	if (a->capacity < 1 || (!a->topk && a->capacity > a->group))
		return fsmoe_fail(EINVAL, "route: an expert cannot have %zu slots for %zu tokens",
				  a->capacity, a->group);
	if (rows / a->group * a->capacity > INT32_MAX)
		return fsmoe_fail(EINVAL,
				  "route: slot numbers do not fit 32 bits: %zu groups of %zu",
				  rows / a->group, a->capacity);
	if (a->topk == 1 && a->weights == FSMOE_WEIGHTS_CHOSEN)
		return fsmoe_fail(EINVAL, "a softmax over one chosen expert is always 1, from "
					  "which no gate learns: take weights 'all', or topk 2");
	return 0;
}

static int check(const struct fsmoe_check *c)
{
	const struct fsmoe_route_args *args = c->args;
	size_t rows = fsmoe_rows(c->tensor[SCORE]), experts = fsmoe_columns(c->tensor[SCORE]);
	size_t width = width_of(args, experts);

	return check_args(args, rows, experts) || fsmoe_check_dtype(c, SCORE, FSMOE_REAL) ||
			       fsmoe_check_dtype(c, EXPERT, FSMOE_INT32) ||
			       fsmoe_check_dtype(c, SLOT, FSMOE_INT32) ||
			       fsmoe_check_dtype(c, WEIGHT, FSMOE_REAL) ||
			       fsmoe_check_dtype(c, COUNTS, FSMOE_INT32) ||
			       fsmoe_check_dtype(c, LIST, FSMOE_INT32) ||
			       fsmoe_check_matrix(c, EXPERT, rows, width) ||
			       fsmoe_check_matrix(c, SLOT, rows, width) ||
			       fsmoe_check_matrix(c, WEIGHT, rows, width) ||
			       fsmoe_check_matrix(c, COUNTS, rows / args->group, experts) ||
			       fsmoe_check_count(c, LIST, args->group)
		       ? -EINVAL
		       : 0;
}

struct fsmoe_route fsmoe_route(fsmoe_graph_t graph, fsmoe_tensor_t score,
			       const struct fsmoe_route_args *args)
{
	const struct fsmoe_route none = {FSMOE_NONE, FSMOE_NONE, FSMOE_NONE, FSMOE_NONE};
	struct fsmoe_shape shape = fsmoe_shape_of(graph, score);
	size_t rows = shape.dim[0], experts = shape.dim[1];
	struct fsmoe_shape lists = FSMOE_SHAPE2(rows, width_of(args, experts));
	size_t groups = args->group ? rows / args->group : 1;
	const struct fsmoe_route out = {
		.expert = fsmoe_graph_activation(graph, FSMOE_INT32, lists, "gate.expert"),
		.slot = fsmoe_graph_activation(graph, FSMOE_INT32, lists, "gate.slot"),
		.weight = fsmoe_graph_activation(graph, FSMOE_WIDE, lists, "gate.weight"),
		.counts = fsmoe_graph_activation(graph, FSMOE_INT32, FSMOE_SHAPE2(groups, experts),
						 "gate.counts"),
	};
	fsmoe_tensor_t list =
		fsmoe_graph_activation(graph, FSMOE_INT32, FSMOE_SHAPE1(args->group), "gate.list");

	if (fsmoe_graph_append(
		    graph, &fsmoe_op_route, args, sizeof(*args),
		    FSMOE_ACCESSES(score, out.expert, out.slot, out.weight, out.counts, list)) < 0)
		return none;
	return out;
}

/* --- backward ----------------------------------------------------------------------------- */

enum
{
	B_SCORE,
	B_EXPERT,
	B_SLOT,
	B_WEIGHT,
	B_DWEIGHT,
	B_DSCORE
};

static const struct fsmoe_port backward_ports[] = {
	[B_SCORE] = {"score", FSMOE_R, FSMOE_FLOAT},
	[B_EXPERT] = {"expert", FSMOE_R, 0},
	[B_SLOT] = {"slot", FSMOE_R, 0},
	[B_WEIGHT] = {"weight", FSMOE_R, FSMOE_FLOAT},
	[B_DWEIGHT] = {"dweight", FSMOE_R, FSMOE_FLOAT},
	[B_DSCORE] = {"dscore", FSMOE_W, FSMOE_FLOAT},
};

static int check_backward(const struct fsmoe_check *c)
{
	const struct fsmoe_route_args *args = c->args;
	size_t rows = fsmoe_rows(c->tensor[B_SCORE]), experts = fsmoe_columns(c->tensor[B_SCORE]);
	size_t width = width_of(args, experts);

	return check_args(args, rows, experts) || fsmoe_check_dtype(c, B_EXPERT, FSMOE_INT32) ||
			       fsmoe_check_dtype(c, B_SLOT, FSMOE_INT32) ||
			       fsmoe_check_matrix(c, B_EXPERT, rows, width) ||
			       fsmoe_check_matrix(c, B_SLOT, rows, width) ||
			       fsmoe_check_matrix(c, B_WEIGHT, rows, width) ||
			       fsmoe_check_matrix(c, B_DWEIGHT, rows, width) ||
			       fsmoe_check_matrix(c, B_DSCORE, rows, experts)
		       ? -EINVAL
		       : 0;
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	const struct fsmoe_access *a = node->access;
	fsmoe_tensor_t score = a[SCORE].tensor;
	fsmoe_tensor_t dweight = fsmoe_backward_out(backward, a[WEIGHT].tensor), dscore;

	if (dweight == FSMOE_NONE || !fsmoe_backward_wants(backward, score))
		return 0;
	dscore = fsmoe_graph_like(graph, score, "d.");
	fsmoe_graph_append(graph, &fsmoe_op_route_backward, node->args,
			   sizeof(struct fsmoe_route_args),
			   FSMOE_ACCESSES(score, a[EXPERT].tensor, a[SLOT].tensor, a[WEIGHT].tensor,
					  dweight, dscore));
	fsmoe_backward_give(backward, score, dscore);
	return fsmoe_graph_status(graph);
}

const struct fsmoe_op fsmoe_op_route = {
	.name = "route",
	.doc = "experts, slots and weights from scores; tokens or experts choose",
	.kind = FSMOE_KIND_ROUTING,
	FSMOE_PORTS(ports),
	.check = check,
	.work = fsmoe_work_bytes,
	.grad = grad,
	FSMOE_CPU(route),
	FSMOE_CUDA_FLOAT(route),
};

const struct fsmoe_op fsmoe_op_route_backward = {
	.name = "route.backward",
	.doc = "gradient of the scores from that of the weights",
	.kind = FSMOE_KIND_REDUCTION,
	FSMOE_PORTS(backward_ports),
	.check = check_backward,
	.work = fsmoe_work_bytes,
	FSMOE_CPU(route_backward),
	FSMOE_CUDA_FLOAT(route_backward),
};
