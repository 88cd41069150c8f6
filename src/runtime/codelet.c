/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/runtime.h"

#include "base/clock.h"

#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* By kind, for traces: computation in greens, communication in warm colours. */
static const unsigned colours[FSMOE_NKINDS] = {
	[FSMOE_KIND_GEMM] = 0x4caf50,      [FSMOE_KIND_EXPERT] = 0x1b5e20,
	[FSMOE_KIND_ATTENTION] = 0x8bc34a, [FSMOE_KIND_MEMORY] = 0xb0bec5,
	[FSMOE_KIND_GATE] = 0x00bcd4,      [FSMOE_KIND_ALLTOALL] = 0xec407a,
	[FSMOE_KIND_ALLGATHER] = 0xfb8c00, [FSMOE_KIND_REDUCE_SCATTER] = 0xfdd835,
	[FSMOE_KIND_ALLREDUCE] = 0x8e24aa, [FSMOE_KIND_BROADCAST] = 0x6d4c41,
};

static void keep_error(struct fsmoe_program *p, const char *label, int err)
{
	STARPU_PTHREAD_MUTEX_LOCK(&p->lock);
	if (!p->error)
	{
		p->error = err;
		snprintf(p->sentence, sizeof(p->sentence), "%s: %s", label, fsmoe_last_error());
	}
	STARPU_PTHREAD_MUTEX_UNLOCK(&p->lock);
}

/* After a failure computation is skipped, but collectives go on with whatever is there: the
 * other ranks are in them, and the failure is reported when the step is waited for. */
static int skipped(struct fsmoe_program *p, const struct fsmoe_node *node)
{
	int failed;

	STARPU_PTHREAD_MUTEX_LOCK(&p->lock);
	failed = p->error;
	STARPU_PTHREAD_MUTEX_UNLOCK(&p->lock);
	return failed && !FSMOE_KIND_IS_COMM(node->op->kind);
}

/* Every CPU codelet's function: unpacks the buffers for the row's kernel. */
static void run_cpu(void *buffers[], void *arg)
{
	const struct fsmoe_job *job = arg;
	struct fsmoe_program *p = job->program;
	const struct fsmoe_node *node = &p->nodes[job->node];
	const struct fsmoe_slot *slot = &p->slots[job->node];
	void *data[node->naccess + 1];
	const struct fsmoe_tensor_info *tensor[node->naccess + 1];
	struct fsmoe_call call = {.node = node,
				  .args = node->args,
				  .data = data,
				  .tensor = tensor,
				  .n = node->naccess,
				  .step = &job->step};
	int err;

	if (skipped(p, node))
		return;
	for (int i = 0; i < node->naccess; i++)
	{
		data[i] = NULL;
		tensor[i] = slot->buffer[i] < 0 ? NULL : &p->tensors[node->access[i].tensor];
		if (tensor[i])
			data[i] = (char *)STARPU_VECTOR_GET_PTR(buffers[slot->buffer[i]]) +
				  4 * tensor[i]->offset;
	}
	if (FSMOE_KIND_IS_COMM(node->op->kind))
		call.comm = fsmoe_comms_get(p->runtime->comms, node->op->group(node->args));
	fsmoe_watch_task(p->runtime->watch, node->lane, slot->label, node->seq);
	p->start[job->node] = fsmoe_clock();
	err = node->op->cpu[FSMOE_F32](&call);
	p->end[job->node] = fsmoe_clock();
	fsmoe_watch_done(p->runtime->watch, node->lane);
	if (err)
		keep_error(p, slot->label, err);
}

struct starpu_codelet *fsmoe_codelet_of(fsmoe_runtime_t rt, const struct fsmoe_op *op)
{
	struct fsmoe_codelet *c;

	for (c = rt->codelets; c; c = c->next)
		if (c->op == op)
			return &c->codelet;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->op = op;
	c->codelet.where = STARPU_CPU;
	c->codelet.cpu_funcs[0] = run_cpu;
	c->codelet.nbuffers = STARPU_VARIABLE_NBUFFERS;
	c->codelet.name = op->name;
	c->codelet.color = colours[op->kind];
	c->next = rt->codelets;
	rt->codelets = c;
	return &c->codelet;
}

void fsmoe_codelets_destroy(fsmoe_runtime_t rt)
{
	while (rt->codelets)
	{
		struct fsmoe_codelet *next = rt->codelets->next;
		free(rt->codelets);
		rt->codelets = next;
	}
}
