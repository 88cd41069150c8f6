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
	[SCORE] = {"score", FSMOE_R, FSMOE_FLOAT, "T E"},
	[EXPERT] = {"expert", FSMOE_W, FSMOE_INTS, "T k"},
	[SLOT] = {"slot", FSMOE_W, FSMOE_INTS, "T k"},
	[WEIGHT] = {"weight", FSMOE_W, FSMOE_FLOAT, "T k"},
	[COUNTS] = {"counts", FSMOE_W, FSMOE_INTS, "G E"},
	[LIST] = {"list", FSMOE_W, FSMOE_SCRATCH | FSMOE_INTS, "g"},
};

static size_t width_of(const struct fsmoe_route_args *args, size_t experts)
{
	return args->topk ? args->topk : experts;
}

static int check_route(const struct fsmoe_check *c)
{
	const struct fsmoe_route_args *a = c->args;
	size_t rows = fsmoe_rows(c->tensor[SCORE]), experts = fsmoe_columns(c->tensor[SCORE]);

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
	fsmoe_check_letter(c, 'k', width_of(a, experts));
	fsmoe_check_letter(c, 'G', rows / a->group);
	fsmoe_check_letter(c, 'g', a->group);
	return 0;
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
	[B_SCORE] = {"score", FSMOE_R, FSMOE_FLOAT, "T E"},
	[B_EXPERT] = {"expert", FSMOE_R, FSMOE_INTS, "T k"},
	[B_SLOT] = {"slot", FSMOE_R, FSMOE_INTS, "T k"},
	[B_WEIGHT] = {"weight", FSMOE_R, FSMOE_FLOAT, "T k"},
	[B_DWEIGHT] = {"dweight", FSMOE_R, FSMOE_FLOAT, "T k"},
	[B_DSCORE] = {"dscore", FSMOE_W, FSMOE_FLOAT, "T E"},
};

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
	.check = check_route,
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
	.check = check_route,
	.work = fsmoe_work_bytes,
	FSMOE_CPU(route_backward),
	FSMOE_CUDA_FLOAT(route_backward),
};
