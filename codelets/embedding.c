/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/embedding.h"
#include "codelets/shape.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/ops.h>

enum
{
	TOKENS,
	TABLE,
	POSITIONS,
	Y
};

static const struct fsmoe_port ports[] = {
	[TOKENS] = {"tokens", FSMOE_R, FSMOE_INTS, "T"},
	[TABLE] = {"table", FSMOE_R, FSMOE_FLOAT, "V M"},
	[POSITIONS] = {"positions", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "L M"},
	[Y] = {"y", FSMOE_W, 0, "T M"},
};

enum
{
	B_TOKENS,
	B_DY,
	B_DTABLE,
	B_DPOSITIONS
};

static const struct fsmoe_port backward_ports[] = {
	[B_TOKENS] = {"tokens", FSMOE_R, FSMOE_INTS, "T"},
	[B_DY] = {"dy", FSMOE_R, 0, "T M"},
	[B_DTABLE] = {"dtable", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT, "V M"},
	[B_DPOSITIONS] = {"dpositions", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT, "L M"},
};

static int check_positions(const struct fsmoe_check *c, int positions)
{
	const struct fsmoe_embedding_args *args = c->args;
	size_t T = fsmoe_count(c->tensor[TOKENS]), used = args->span < T ? args->span : T;

	if (!c->tensor[positions])
		return 0;
	if (args->span == 0)
		return fsmoe_fail(EINVAL, "%s: a span of 0 positions", c->op->name);
	if (args->first + used <= fsmoe_rows(c->tensor[positions]))
		return 0;
	return fsmoe_fail(EINVAL, "%s: positions %zu to %zu are asked for, but '%s' has %zu rows",
			  c->op->name, args->first, args->first + used - 1,
			  c->tensor[positions]->name, fsmoe_rows(c->tensor[positions]));
}

static int check_embedding(const struct fsmoe_check *c)
{
	return check_positions(c, POSITIONS);
}

static int check_backward(const struct fsmoe_check *c)
{
	return check_positions(c, B_DPOSITIONS);
}

/* Rows of y are read, added and written; the tables are touched in as many rows at most. */
static double work(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)args, (void)n;
	return 12.0 * (double)fsmoe_count(t[Y]);
}

static double work_backward(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)args, (void)n;
	return 20.0 * (double)fsmoe_count(t[B_DY]);
}

fsmoe_tensor_t fsmoe_embedding(fsmoe_graph_t graph, fsmoe_tensor_t tokens, fsmoe_tensor_t table,
			       fsmoe_tensor_t positions, size_t first, size_t span)
{
	const struct fsmoe_embedding_args args = {.first = first, .span = span};
	const struct fsmoe_tensor_info table_info = {.shape = fsmoe_shape_of(graph, table)};
	struct fsmoe_shape rows = fsmoe_shape_of(graph, tokens);
	fsmoe_tensor_t y = fsmoe_graph_activation(
		graph, FSMOE_REAL,
		FSMOE_SHAPE2(fsmoe_shape_count(&rows), fsmoe_columns(&table_info)), "embedding");

	if (fsmoe_graph_append(graph, &fsmoe_op_embedding, &args, sizeof(args),
			       FSMOE_ACCESSES(tokens, table, positions, y)) < 0)
		return FSMOE_NONE;
	return y;
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	fsmoe_tensor_t tokens = node->access[TOKENS].tensor;
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, node->access[Y].tensor);
	fsmoe_tensor_t dtable, dpositions;

	if (dy == FSMOE_NONE)
		return 0;
	if (fsmoe_param_gradient(backward, node, TABLE, &dtable) ||
	    fsmoe_param_gradient(backward, node, POSITIONS, &dpositions))
		return -EINVAL;
	if (dtable == FSMOE_NONE && dpositions == FSMOE_NONE)
		return 0;
	fsmoe_graph_append(graph, &fsmoe_op_embedding_backward, node->args,
			   sizeof(struct fsmoe_embedding_args),
			   FSMOE_ACCESSES(tokens, dy, dtable, dpositions));
	return fsmoe_graph_status(graph);
}

const struct fsmoe_op fsmoe_op_embedding = {
	.name = "embedding",
	.doc = "rows of a table by token, plus rows of positions",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(ports),
	.check = check_embedding,
	.work = work,
	.grad = grad,
	FSMOE_CPU(embedding),
	FSMOE_CUDA(embedding),
};

const struct fsmoe_op fsmoe_op_embedding_backward = {
	.name = "embedding.backward",
	.doc = "dtable and dpositions += rows of dy",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(backward_ports),
	.check = check_backward,
	.work = work_backward,
	FSMOE_CPU(embedding_backward),
	FSMOE_CUDA(embedding_backward),
};
