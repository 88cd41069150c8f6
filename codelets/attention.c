/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/attention.h"
#include "codelets/shape.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>

enum
{
	QKV,
	Y,
	STATS,
	SCRATCH
};

static const struct fsmoe_port ports[] = {
	[QKV] = {"qkv", FSMOE_R, 0, "T 3*H*D"},
	[Y] = {"y", FSMOE_W, 0, "T H*D"},
	[STATS] = {"stats", FSMOE_W, FSMOE_FLOAT, "T*H 2"},
	[SCRATCH] = {"scratch", FSMOE_W, FSMOE_SCRATCH, "R"},
};

enum
{
	B_QKV,
	B_STATS,
	B_DY,
	B_DQKV,
	B_SCRATCH
};

static const struct fsmoe_port backward_ports[] = {
	[B_QKV] = {"qkv", FSMOE_R, 0, "T 3*H*D"},
	[B_STATS] = {"stats", FSMOE_R, FSMOE_FLOAT, "T*H 2"},
	[B_DY] = {"dy", FSMOE_R, 0, "T H*D"},
	[B_DQKV] = {"dqkv", FSMOE_W, 0, "T 3*H*D"},
	[B_SCRATCH] = {"scratch", FSMOE_W, FSMOE_SCRATCH, "R"},
};

static size_t forward_scratch(const struct fsmoe_attention_args *a)
{
	size_t gathered = fsmoe_attention_gathers(a) ? a->seq * 4 * a->heads * a->head_dim : 0;

	return fsmoe_attention_block(a) * a->seq + gathered;
}

static size_t backward_scratch(const struct fsmoe_attention_args *a)
{
	size_t gathered = fsmoe_attention_gathers(a) ? a->seq * 7 * a->heads * a->head_dim : 0;

	return 2 * fsmoe_attention_block(a) * a->seq + gathered;
}

static int check_sizes(const struct fsmoe_check *c, size_t scratch)
{
	const struct fsmoe_attention_args *a = c->args;

	if (!a->batch || !a->seq || !a->heads || !a->head_dim || !a->parts)
		return fsmoe_fail(
			EINVAL,
			"%s: batch %zu, seq %zu, heads %zu, head_dim %zu, parts %zu; none "
			"may be 0",
			c->op->name, a->batch, a->seq, a->heads, a->head_dim, a->parts);
	if (a->seq % a->parts)
		return fsmoe_fail(EINVAL, "%s: %zu parts do not divide a sequence of %zu",
				  c->op->name, a->parts, a->seq);
	fsmoe_check_letter(c, 'T', a->batch * a->seq);
	fsmoe_check_letter(c, 'H', a->heads);
	fsmoe_check_letter(c, 'D', a->head_dim);
	fsmoe_check_letter(c, 'R', scratch);
	return 0;
}

static int check_attention(const struct fsmoe_check *c)
{
	return check_sizes(c, forward_scratch(c->args));
}

static int check_backward(const struct fsmoe_check *c)
{
	return check_sizes(c, backward_scratch(c->args));
}

/* Flops of one product over what is seen of the square, all sequences and heads. */
static double product(const struct fsmoe_attention_args *a)
{
	double S = (double)a->seq, seen = a->bidirectional ? S * S : S * (S + 1) / 2;

	return 2 * (double)(a->batch * a->heads * a->head_dim) * seen;
}

static double work(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)t, (void)n;
	return 2 * product(args);
}

/* A model's flops: P, which is computed anew, is not among them. */
static double work_backward(const void *args, const struct fsmoe_tensor_info *const *t, int n)
{
	(void)t, (void)n;
	return 4 * product(args);
}

fsmoe_tensor_t fsmoe_attention(fsmoe_graph_t graph, fsmoe_tensor_t qkv,
			       const struct fsmoe_attention_args *args)
{
	const struct fsmoe_attention_args a = *args;
	fsmoe_tensor_t y = fsmoe_graph_activation(
		graph, FSMOE_REAL, FSMOE_SHAPE2(a.batch * a.seq, a.heads * a.head_dim),
		"attention");
	fsmoe_tensor_t stats = fsmoe_graph_activation(
		graph, FSMOE_WIDE, FSMOE_SHAPE2(a.batch * a.heads * a.seq, 2), "attention.stats");
	fsmoe_tensor_t scratch = fsmoe_graph_activation(
		graph, FSMOE_REAL, FSMOE_SHAPE1(forward_scratch(&a)), "attention.scratch");

	if (fsmoe_graph_append(graph, &fsmoe_op_attention, &a, sizeof(a),
			       FSMOE_ACCESSES(qkv, y, stats, scratch)) < 0)
		return FSMOE_NONE;
	return y;
}

static int grad(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	fsmoe_graph_t graph = fsmoe_backward_graph(backward);
	const struct fsmoe_attention_args *a = node->args;
	fsmoe_tensor_t qkv = node->access[QKV].tensor, stats = node->access[STATS].tensor;
	fsmoe_tensor_t dy = fsmoe_backward_out(backward, node->access[Y].tensor);

	if (dy == FSMOE_NONE || !fsmoe_backward_wants(backward, qkv))
		return 0;

	fsmoe_tensor_t dqkv = fsmoe_graph_like(graph, qkv, "d.");
	fsmoe_tensor_t scratch = fsmoe_graph_activation(
		graph, FSMOE_REAL, FSMOE_SHAPE1(backward_scratch(a)), "attention.backward.scratch");
	fsmoe_graph_append(graph, &fsmoe_op_attention_backward, a, sizeof(*a),
			   FSMOE_ACCESSES(qkv, stats, dy, dqkv, scratch));
	fsmoe_backward_give(backward, qkv, dqkv);
	return fsmoe_graph_status(graph);
}

const struct fsmoe_op fsmoe_op_attention = {
	.name = "attention",
	.doc = "multi-head attention, causal or of whole sequences",
	.kind = FSMOE_KIND_ATTENTION,
	FSMOE_PORTS(ports),
	.check = check_attention,
	.work = work,
	.grad = grad,
	FSMOE_CPU(attention),
	FSMOE_CUDA(attention),
	FSMOE_CUDA_SCRATCH(attention),
};

const struct fsmoe_op fsmoe_op_attention_backward = {
	.name = "attention.backward",
	.doc = "dqkv, from probabilities that are computed anew",
	.kind = FSMOE_KIND_ATTENTION,
	FSMOE_PORTS(backward_ports),
	.check = check_backward,
	.work = work_backward,
	FSMOE_CPU(attention_backward),
	FSMOE_CUDA(attention_backward),
	FSMOE_CUDA_SCRATCH(attention_backward),
};
