/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/runtime_internal.h"
#include "runtime/stream_sync.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/*
 * A task is a chain of nodes of the compute lane. An edge between two StarPU tasks goes through the
 * host, 11 to 30 microseconds on a GPU, more than many kernels take. Consecutive nodes of the lane
 * are one task where no other lane gains by their being two: only the first of a chain waits for
 * another lane, another lane waits only for the last. So chains keep every order there is:
 *
 *   - what a chain waits for comes before its first node in the program, and what waits for the
 *     chain comes after its last (a latest wait stands for the
 *     earlier ones: runtime/stream_sync.h);
 *   - so every edge points forward among the tasks, taken in the order in which chains end, and
 *     there is no cycle. Lane order, by which collectives are numbered, points the same way.
 *
 * A chain ends where a lane waits, so within it greater priorities would bring nothing to another
 * lane; what only fills gaps (a negative priority) is apart from what does not. And a chain stays
 * within one layer, phase and micro-batch, so that a trace still tells where a step is.
 */
static int joins(const struct fsmoe_program *p, const struct fsmoe_stream_sync *waits, int last,
		 int node)
{
	const struct fsmoe_node *a = &p->nodes[last], *b = &p->nodes[node];

	for (int l = 0; l < FSMOE_NLANES; l++)
		if (waits->on[node][l] >= 0)
			return 0;
	if (waits->awaited[last] || (a->priority < 0) != (b->priority < 0) ||
	    !fsmoe_runtime_kernel(p->runtime, a->op) != !fsmoe_runtime_kernel(p->runtime, b->op))
		return 0;
	return p->runtime->fuse > 1 ||
	       (a->layer == b->layer && a->phase == b->phase && a->micro_batch == b->micro_batch);
}

static void put(struct fsmoe_program *p, const int *chain, int n)
{
	struct fsmoe_task_template *template = &p->templates[p->ntemplates++];

	if (p->ntemplates == 1)
		template->node = p->order;
	else
		template->node = template[-1].node + template[-1].nnodes;
	memcpy(template->node, chain, (size_t)n * sizeof(*chain));
	template->nnodes = n;
}

int fsmoe_fuse_tasks(struct fsmoe_program *p)
{
	struct fsmoe_stream_sync waits = {0};
	int *open = calloc((size_t)p->nnodes + 1, sizeof(*open)), n = 0, err = 0;

	if (!open)
		return fsmoe_fail(ENOMEM, "no memory for the tasks of a program");
	if (p->runtime->fuse)
		err = fsmoe_stream_sync_plan(&waits, p->graph, NULL);
	for (int i = 0; i < p->nnodes && !err; i++)
	{
		if (!p->runtime->fuse || p->nodes[i].lane != FSMOE_COMPUTE)
		{
			put(p, &i, 1);
			continue;
		}
		if (n && !joins(p, &waits, open[n - 1], i))
		{
			put(p, open, n);
			n = 0;
		}
		open[n++] = i;
		if (waits.awaited[i])
		{
			put(p, open, n);
			n = 0;
		}
	}
	if (n)
		put(p, open, n);
	fsmoe_stream_sync_free(&waits);
	free(open);
	return err;
}
