/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walkers agree: random graphs give the same bits executed one node after another and
 * submitted to StarPU, three times over, a node a task and by chains of nodes; no measured or
 * simulated order breaks an access, nor do lanes as the stream walker runs them. Under mpirun (an
 * argument: the number of nodes to pretend) the graphs communicate.
 */
#include "graph/graph.h"
#include "runtime/stream_sync.h"
#include "tests/lib/random_graph.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double one(const struct fsmoe_node *node, void *arg)
{
	(void)arg;
	return 1.0 + node->id % 7;
}

static int same_memory(fsmoe_graph_t g, fsmoe_memory_t a, fsmoe_memory_t b)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(g, &n);

	for (int i = 0; i < n; i++)
		if (memcmp(fsmoe_memory_data(a, i), fsmoe_memory_data(b, i),
			   fsmoe_shape_count(&t[i].shape) * sizeof(float)))
			return 0;
	return 1;
}

/* Lanes that run in the order that fills gaps, and wait where they are told to: whether an edge, or
 * the order of a communication lane, is broken. */
static int streams_break_order(fsmoe_graph_t g)
{
	int n, *order, *first, *pred, bad = 0, seen[FSMOE_NLANES][FSMOE_NLANES];
	int seq[FSMOE_NLANES] = {-1, -1, -1};
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(g, &n);
	int *at = calloc((size_t)n + 1, sizeof(*at));
	struct fsmoe_stream_sync waits;

	TRY(fsmoe_stream_sync_order(&order, g));
	TRY(fsmoe_stream_sync_plan(&waits, g, order));
	TRY(fsmoe_graph_edges(g, &first, &pred));
	memset(seen, -1, sizeof(seen));
	for (int k = 0; k < n; k++)
		at[order[k]] += k + 1; /* twice in the order: too large */
	for (int k = 0; k < n; k++)
	{
		const struct fsmoe_node *node = &nodes[order[k]];
		int *lanes = seen[node->lane];

		bad += at[node->id] != k + 1;
		if (node->seq >= 0)
			bad += node->seq <= seq[node->lane];
		seq[node->lane] = node->seq >= 0 ? node->seq : seq[node->lane];
		lanes[node->lane] = k;
		for (int l = 0; l < FSMOE_NLANES; l++)
			if (waits.on[node->id][l] >= 0)
			{
				lanes[l] = at[waits.on[node->id][l]];
				bad += lanes[l] > k; /* not enqueued yet */
			}
		for (int e = first[node->id]; e < first[node->id + 1]; e++)
			bad += at[pred[e]] > k || at[pred[e]] > lanes[nodes[pred[e]].lane];
	}
	fsmoe_stream_sync_free(&waits);
	free(order);
	free(first);
	free(pred);
	free(at);
	return bad;
}

static int check(uint64_t seed, fsmoe_runtime_t rt)
{
	enum
	{
		STEPS = 3
	};
	fsmoe_graph_t g = random_graph(seed, fsmoe_runtime_groups(rt));
	fsmoe_memory_t executed, submitted;
	fsmoe_program_t program;
	struct fsmoe_timeline measured, simulated;
	int bad;

	TRY(fsmoe_memory_create(&executed, g, FSMOE_F32, NULL));
	TRY(fsmoe_memory_create(&submitted, g, FSMOE_F32, NULL));
	for (int i = 0; i < STEPS; i++)
		TRY(fsmoe_graph_execute(g, executed, fsmoe_runtime_comms(rt), NULL));
	TRY(fsmoe_program_create(&program, rt, g, submitted));
	for (int i = 0; i < STEPS; i++)
		TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = (uint64_t)i + 1}));
	TRY(fsmoe_program_wait(program));
	TRY(fsmoe_program_observe(program, &measured));
	TRY(fsmoe_graph_simulate(g, one, NULL, NULL, &simulated));
	bad = timeline_breaks_order(g, &measured) || timeline_breaks_order(g, &simulated) ||
	      streams_break_order(g);
	fsmoe_program_destroy(program);
	if (!same_memory(g, executed, submitted))
	{
		printf("graph %d: execute and submit differ\n", (int)seed);
		bad = 1;
	}
	fsmoe_timeline_destroy(&measured);
	fsmoe_timeline_destroy(&simulated);
	fsmoe_memory_destroy(executed);
	fsmoe_memory_destroy(submitted);
	fsmoe_graph_destroy(g);
	return bad;
}

int main(int argc, char **argv)
{
	enum
	{
		GRAPHS = 200
	};
	fsmoe_topo_t topo;
	fsmoe_groups_t groups = NULL;
	struct fsmoe_runtime_opts opts;
	fsmoe_runtime_t rt;
	int bad = 0;

	fsmoe_runtime_opts_init(&opts);
	TRY(fsmoe_topo_create(&topo, NULL, argc > 1 ? atoi(argv[1]) : 0));
	if (fsmoe_topo_ranks(topo) > 1)
		TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	for (opts.fuse = 0; opts.fuse <= 2; opts.fuse++)
	{
		TRY(fsmoe_runtime_start(&rt, groups, &opts));
		for (uint64_t seed = 0; seed < GRAPHS / (1 + (uint64_t)opts.fuse); seed++)
			bad += check(seed, rt);
		fsmoe_runtime_stop(rt);
	}
	if (fsmoe_topo_rank(topo) == 0)
		printf("%d graphs on %d ranks, %d with a difference\n", GRAPHS,
		       fsmoe_topo_ranks(topo), bad);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return bad ? 1 : 0;
}
