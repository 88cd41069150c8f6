/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/random_graph.h"

#include "base/rng.h"
#include "comm/comm.h"

#include <fsmoe/error.h>
#include <stdlib.h>

enum
{
	TENSORS = 12,
	ELEMENTS = 17,
	MOST_NODES = 60
};

struct mix_args
{
	double factor;
	enum fsmoe_group group;
};

/* Every written element becomes a function of all that is read: products and differences, so
 * that no two orders agree. */
#define MIX(real, suffix)                                                                          \
	static int mix_##suffix(const struct fsmoe_call *call)                                     \
	{                                                                                          \
		const struct mix_args *args = call->args;                                          \
		for (size_t i = 0; i < ELEMENTS; i++)                                              \
		{                                                                                  \
			real sum = (real)args->factor;                                             \
			for (int a = 0; a < call->n; a++)                                          \
				if (call->node->access[a].mode & FSMOE_R)                          \
					sum = (real)0.75 * sum - ((real *)call->data[a])[i];       \
			for (int a = 0; a < call->n; a++)                                          \
				if (call->node->access[a].mode & FSMOE_W)                          \
					((real *)call->data[a])[i] = sum * (real)0.5 + (real)a;    \
		}                                                                                  \
		return 0;                                                                          \
	}
MIX(float, f32)
MIX(double, f64)

static int exchange(const struct fsmoe_call *call)
{
	int err = mix_f32(call);

	for (int a = 0; a < call->n && !err; a++)
		if (call->node->access[a].mode & FSMOE_W)
			err = fsmoe_comm_allreduce(call->comm, FSMOE_F32, call->data[a], ELEMENTS);
	return err;
}

static enum fsmoe_group group_of(const void *args)
{
	return ((const struct mix_args *)args)->group;
}

static const struct fsmoe_port ports[] = {
	{"in", FSMOE_R, FSMOE_MANY}, {"inout", FSMOE_RW, FSMOE_MANY}, {"out", FSMOE_W, FSMOE_MANY}};
static const struct fsmoe_op mix = {.name = "mix",
				    .doc = "test only",
				    .kind = FSMOE_KIND_MEMORY,
				    FSMOE_PORTS(ports),
				    .cpu = {mix_f32, mix_f64}};
static const struct fsmoe_op mix_exchange = {.name = "mix.exchange",
					     .doc = "test only",
					     .kind = FSMOE_KIND_ALLREDUCE,
					     FSMOE_PORTS(ports),
					     .group = group_of,
					     .cpu = {exchange, NULL}};

static void append_node(fsmoe_graph_t g, fsmoe_groups_t groups, uint64_t key,
			const fsmoe_tensor_t *tensor)
{
	static const enum fsmoe_group kinds[] = {FSMOE_GROUP_WORLD, FSMOE_GROUP_TP, FSMOE_GROUP_EP};
	struct fsmoe_access access[TENSORS];
	struct mix_args args = {.factor = fsmoe_rng_uniform(key, 100)};
	const struct fsmoe_op *op =
		groups && fsmoe_rng_bits(key, 101) % 3 == 0 ? &mix_exchange : &mix;
	int n = 0;

	args.group = kinds[fsmoe_rng_bits(key, 102) % 3];
	for (short port = 0; port < 3; port++)
		for (int t = 0; t < TENSORS; t++)
			if (fsmoe_rng_bits(key, (uint64_t)t) % 10 == (uint64_t)port)
				access[n++] =
					(struct fsmoe_access){.tensor = tensor[t], .port = port};
	fsmoe_graph_set_priority(g, (int)(fsmoe_rng_bits(key, 103) % 5) - 1);
	fsmoe_graph_append(g, op, &args, sizeof(args), access, n);
}

fsmoe_graph_t random_graph(uint64_t seed, fsmoe_groups_t groups)
{
	uint64_t key = fsmoe_rng_key(seed, "random graph");
	fsmoe_tensor_t tensor[TENSORS];
	fsmoe_graph_t g;
	int nodes = 1 + (int)(fsmoe_rng_bits(key, 0) % MOST_NODES);

	if (fsmoe_graph_create(&g, groups))
		abort();
	for (int t = 0; t < TENSORS; t++)
		tensor[t] = fsmoe_graph_activation(g, FSMOE_REAL, FSMOE_SHAPE1(ELEMENTS), "t%d", t);
	/* Views: parts of one buffer, which depend on each other. */
	fsmoe_tensor_t whole =
		fsmoe_graph_activation(g, FSMOE_REAL, FSMOE_SHAPE1(3 * ELEMENTS), "whole");
	for (int t = 0; t < 3; t++)
		tensor[t] =
			fsmoe_graph_view(g, whole, (size_t)t * ELEMENTS, FSMOE_SHAPE1(ELEMENTS));
	for (int i = 0; i < nodes; i++)
		append_node(g, groups, fsmoe_rng_subkey(key, (uint64_t)i), tensor);
	return g;
}

int timeline_breaks_order(fsmoe_graph_t g, const struct fsmoe_timeline *tl)
{
	int *first, *pred, n, broken = 0, last[FSMOE_NLANES] = {-1, -1, -1};
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(g, &n);

	if (fsmoe_graph_edges(g, &first, &pred))
		return 1;
	for (int i = 0; i < n; i++)
	{
		for (int k = first[i]; k < first[i + 1]; k++)
			if (tl->start[i] < tl->end[pred[k]])
			{
				printf("node %d starts before node %d has ended\n", i, pred[k]);
				broken = 1;
			}
		if (nodes[i].seq < 0)
			continue;
		if (last[nodes[i].lane] >= 0 && tl->start[i] < tl->end[last[nodes[i].lane]])
		{
			printf("node %d starts before node %d of its lane has ended\n", i,
			       last[nodes[i].lane]);
			broken = 1;
		}
		last[nodes[i].lane] = i;
	}
	free(first);
	free(pred);
	return broken;
}
