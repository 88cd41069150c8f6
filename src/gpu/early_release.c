/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/early_release.h"

#include "graph/graph.h"
#include "gpu/gpu_internal.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/*
 * Tasks of the compute lane are released early: for StarPU they end when they are enqueued. An edge
 * between two tasks that goes through the host costs 11 to 30 microseconds in which the GPU idles;
 * so
 *
 *   - computation after computation is in the order of one stream;
 *   - communication after computation waits on the device for the event of the task that it needs,
 *     and is enqueued long before that;
 *   - computation after communication, and communication after communication, still goes through
 *   the
 *     host: a communication ends when it has, so that what the policy finds ready can run, and
 *     never stands in the stream before what could run meanwhile.
 *
 * What only fills gaps (a negative priority) is held back until the lane is idle, or it would be
 * enqueued before more urgent work that becomes ready meanwhile; unless there is none: whatever is
 * urgent and not enqueued yet needs the same computation as the filler.
 *
 * Only edges inside a step are known here: the compute lane's stream is waited for at a step's end,
 * and before the next begins. Not where a node runs on the host, which would read too early, and
 * not where somebody asks StarPU when tasks became ready or ended: while recording, or with a
 * trace.
 */
struct fsmoe_early_release
{
	cudaEvent_t *done;  /* by template; NULL: nobody waits on the device */
	int *first, *after; /* template s waits for after[first[s]] .. after[first[s + 1] - 1] */
};

static int comes_after(const struct fsmoe_early_release *a, int template, int n, int other)
{
	for (int k = a->first[template]; k < n; k++)
		if (a->after[k] == other)
			return 1;
	return 0;
}

/* Finds, by task template of a communication, those of the compute lane with an edge to it. */
static void find_waits(struct fsmoe_early_release *a, const struct fsmoe_program *p,
		       const int *template_of, const int *first, const int *pred)
{
	int n = 0;

	for (int s = 0; s < p->ntemplates; s++)
	{
		const struct fsmoe_task_template *template = &p->templates[s];

		a->first[s] = n;
		if (p->nodes[template->node[0]].lane == FSMOE_COMPUTE)
			continue;
		for (int k = 0; k < template->nnodes; k++)
			for (int e = first[template->node[k]]; e < first[template->node[k] + 1];
			     e++)
				if (p->nodes[pred[e]].lane == FSMOE_COMPUTE &&
				    !comes_after(a, s, n, template_of[pred[e]]))
					a->after[n++] = template_of[pred[e]];
	}
	a->first[p->ntemplates] = n;
}

/* Every node that is urgent, on the compute lane and after node `from` needs it. */
static int all_need(const struct fsmoe_program *p, int from, const int *first, const int *pred,
		    char *needs)
{
	memset(needs, 0, (size_t)p->nnodes);
	needs[from] = 1;
	for (int i = from + 1; i < p->nnodes; i++)
	{
		for (int e = first[i]; e < first[i + 1] && !needs[i]; e++)
			needs[i] = needs[pred[e]];
		if (!needs[i] && p->nodes[i].lane == FSMOE_COMPUTE && p->nodes[i].priority >= 0)
			return 0;
	}
	return 1;
}

/* Finds the task templates that are held back. `needs` has room for all nodes. */
static void find_held(struct fsmoe_program *p, const int *first, const int *pred, char *needs)
{
	for (int s = 0; s < p->ntemplates; s++)
	{
		struct fsmoe_task_template *template = &p->templates[s];
		int last = -1;

		if (p->nodes[template->node[0]].lane != FSMOE_COMPUTE ||
		    p->nodes[template->node[0]].priority >= 0)
			continue;
		for (int e = first[template->node[0]]; e < first[template->node[0] + 1]; e++)
			if (p->nodes[pred[e]].lane == FSMOE_COMPUTE && pred[e] > last)
				last = pred[e];
		template->held = last < 0 || !all_need(p, last, first, pred, needs);
	}
}

static int make_events(struct fsmoe_early_release *a, int ntemplates)
{
	int err = 0;

	for (int k = 0; k < a->first[ntemplates] && !err; k++)
		if (!a->done[a->after[k]])
			err = fsmoe_cuda_check(cudaEventCreateWithFlags(&a->done[a->after[k]],
									cudaEventDisableTiming),
					       "making an event");
	return err;
}

static int all_on_gpu(const struct fsmoe_program *p)
{
	for (int i = 0; i < p->nnodes; i++)
		if (!fsmoe_runtime_kernel(p->runtime, p->nodes[i].op))
			return 0;
	return 1;
}

int fsmoe_early_release_plan(struct fsmoe_program *p)
{
	struct fsmoe_early_release *a;
	int *first = NULL, *pred = NULL, *template_of, err;
	char *needs;

	if (!p->runtime->gpu->early_release || p->runtime->trace || !all_on_gpu(p))
		return 0;
	err = fsmoe_graph_edges(p->graph, &first, &pred);
	if (err)
		return err;
	p->early = 1;
	a = p->gpu->early_release = calloc(1, sizeof(*a));
	template_of = calloc((size_t)p->nnodes + 1, sizeof(*template_of));
	needs = calloc((size_t)p->nnodes + 1, 1);
	if (a)
	{
		a->done = calloc((size_t)p->ntemplates + 1, sizeof(*a->done));
		a->first = calloc((size_t)p->ntemplates + 1, sizeof(*a->first));
		a->after = calloc((size_t)first[p->nnodes] + 1, sizeof(*a->after));
	}
	if (!a || !template_of || !needs || !a->done || !a->first || !a->after)
		err = fsmoe_fail(ENOMEM, "no memory for what tasks wait for");
	for (int s = 0; s < p->ntemplates && !err; s++)
		for (int k = 0; k < p->templates[s].nnodes; k++)
			template_of[p->templates[s].node[k]] = s;
	if (!err)
	{
		find_waits(a, p, template_of, first, pred);
		find_held(p, first, pred, needs);
		err = make_events(a, p->ntemplates);
	}
	free(template_of);
	free(needs);
	free(first);
	free(pred);
	return err;
}

void fsmoe_early_release_free(struct fsmoe_program *p)
{
	struct fsmoe_early_release *a = p->gpu->early_release;

	if (!a)
		return;
	for (int s = 0; a->done && s < p->ntemplates; s++)
		if (a->done[s])
			cudaEventDestroy(a->done[s]);
	free(a->done);
	free(a->first);
	free(a->after);
	free(a);
	p->gpu->early_release = NULL;
}

int fsmoe_early_release_wait(const struct fsmoe_program *p,
			     const struct fsmoe_task_template *template, cudaStream_t stream)
{
	const struct fsmoe_early_release *a = p->gpu->early_release;
	const int s = (int)(template - p->templates);
	int err = 0;

	for (int k = a ? a->first[s] : 0; a && k < a->first[s + 1] && !err; k++)
		err = fsmoe_cuda_check(cudaStreamWaitEvent(stream, a->done[a->after[k]], 0),
				       "waiting for an event");
	return err;
}

int fsmoe_early_release_done(const struct fsmoe_program *p,
			     const struct fsmoe_task_template *template, cudaStream_t stream)
{
	const cudaEvent_t done = p->gpu->early_release->done[template - p->templates];

	return done ? fsmoe_cuda_check(cudaEventRecord(done, stream), "recording an event") : 0;
}
