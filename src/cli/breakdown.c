/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/train.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <stdlib.h>
#include <string.h>

/* What the nodes of one operation took together. */
struct row
{
	const struct fsmoe_op *op;
	enum fsmoe_lane lane;
	int nodes;
	double seconds, work;
};

static struct row *row_of(struct row *rows, int *n, const struct fsmoe_node *node)
{
	for (int i = 0; i < *n; i++)
		if (rows[i].op == node->op && rows[i].lane == node->lane)
			return &rows[i];
	rows[*n] = (struct row){.op = node->op, .lane = node->lane};
	return &rows[(*n)++];
}

static int longest_first(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->seconds > y->seconds ? -1 : x->seconds < y->seconds;
}

static void say_rows(const struct run *run, const struct row *rows, int n,
		     const struct fsmoe_timeline *tl)
{
	run_say(run,
		"the last step on this rank: %.2f ms; busy: compute %.0f%%, intra %.0f%%, "
		"inter %.0f%%",
		1e3 * tl->makespan, 100 * tl->busy[FSMOE_COMPUTE] / tl->makespan,
		100 * tl->busy[FSMOE_INTRA] / tl->makespan,
		100 * tl->busy[FSMOE_INTER] / tl->makespan);
	run_say(run, "  %-28s %-8s %6s %10s %6s %10s", "operation", "lane", "nodes", "ms", "%",
		"G/s");
	for (int i = 0; i < n; i++)
		run_say(run, "  %-28s %-8s %6d %10.3f %6.1f %10.2f", rows[i].op->name,
			fsmoe_lane_name(rows[i].lane), rows[i].nodes, 1e3 * rows[i].seconds,
			100 * rows[i].seconds / tl->makespan,
			rows[i].seconds > 0 ? 1e-9 * rows[i].work / rows[i].seconds : 0.0);
	run_say(run, "  G/s: 10^9 operations of computations, bytes of what moves memory or "
		     "communicates; waiting for others counts as communication");
}

int run_breakdown(const struct run *run)
{
	fsmoe_graph_t graph = fsmoe_trainer_graph(run->trainer);
	int nnodes, ntensors, n = 0;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);
	struct fsmoe_timeline tl;
	struct row *rows = calloc((size_t)nnodes + 1, sizeof(*rows));
	int err = rows ? fsmoe_program_observe(fsmoe_trainer_program(run->trainer), &tl)
		       : fsmoe_fail(ENOMEM, "no memory for a breakdown");

	if (!err)
	{
		for (int i = 0; i < nnodes; i++)
		{
			struct row *row = row_of(rows, &n, &nodes[i]);

			row->nodes++;
			row->seconds += tl.end[i] - tl.start[i];
			row->work += fsmoe_node_work(&nodes[i], tensors);
		}
		qsort(rows, (size_t)n, sizeof(*rows), longest_first);
		say_rows(run, rows, n, &tl);
		fsmoe_timeline_destroy(&tl);
	}
	free(rows);
	return err;
}
