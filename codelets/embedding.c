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
	[TOKENS] = {"tokens", FSMOE_R, 0},
	[TABLE] = {"table", FSMOE_R, FSMOE_FLOAT},
	[POSITIONS] = {"positions", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT},
	[Y] = {"y", FSMOE_W, 0},
};

enum
{
	B_TOKENS,
	B_DY,
	B_DTABLE,
	B_DPOSITIONS
};

static const struct fsmoe_port backward_ports[] = {
	[B_TOKENS] = {"tokens", FSMOE_R, 0},
	[B_DY] = {"dy", FSMOE_R, 0},
	[B_DTABLE] = {"dtable", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT},
	[B_DPOSITIONS] = {"dpositions", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT},
};

/* Forward and backward: tokens, a table, positions and rows (y or dy), wherever they stand. */
static int check_shapes(const struct fsmoe_check *c, int table, int positions, int y)
{
	const struct fsmoe_embedding_args *args = c->args;
	size_t T = fsmoe_count(c->tensor[TOKENS]), M = fsmoe_columns(c->tensor[y]);

	if (fsmoe_check_dtype(c, TOKENS, FSMOE_INT32))
		return -EINVAL;
	for (int i = 1; i < c->n; i++)
		if (fsmoe_check_dtype(c, i, FSMOE_REAL))
			return -EINVAL;
	if (c->tensor[table] && fsmoe_check_matrix(c, table, fsmoe_rows(c->tensor[table]), M))
		return -EINVAL;
	if (fsmoe_check_matrix(c, y, T, M))
		return -EINVAL;
	if (!c->tensor[positions])
		return 0;
	if (args->span == 0)
		return fsmoe_fail(EINVAL, "%s: a span of 0 positions", c->op->name);

	size_t L = fsmoe_rows(c->tensor[positions]), used = args->span < T ? args->span : T;
	if (args->first + used > L)
		return fsmoe_fail(EINVAL,
				  "%s: positions %zu to %zu are asked for, but '%s' has %zu rows",
				  c->op->name, args->first, args->first + used - 1,
				  c->tensor[positions]->name, L);
	return fsmoe_check_matrix(c, positions, L, M);
}

static int check(const struct fsmoe_check *c)
{
	return check_shapes(c, TABLE, POSITIONS, Y);
}

static int check_backward(const struct fsmoe_check *c)
{
	return check_shapes(c, B_DTABLE, B_DPOSITIONS, B_DY);
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
	.check = check,
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
