/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/runtime_internal.h"

#include "base/clock.h"
#include "graph/fresh.h"
#include "graph/memory.h"
#include "runtime/bf16.h"
#include "runtime/gpu_ops.h"

#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* By kind, for traces: computation in greens, communication in warm colours. */
static const unsigned colours[FSMOE_NKINDS] = {
	[FSMOE_KIND_GEMM] = 0x4caf50,      [FSMOE_KIND_EXPERT] = 0x1b5e20,
	[FSMOE_KIND_ATTENTION] = 0x8bc34a, [FSMOE_KIND_MEMORY] = 0xb0bec5,
	[FSMOE_KIND_REDUCTION] = 0x78909c, [FSMOE_KIND_GATE] = 0x00bcd4,
	[FSMOE_KIND_ROUTING] = 0x00838f,   [FSMOE_KIND_ALLTOALL] = 0xec407a,
	[FSMOE_KIND_ALLGATHER] = 0xfb8c00, [FSMOE_KIND_REDUCE_SCATTER] = 0xfdd835,
	[FSMOE_KIND_ALLREDUCE] = 0x8e24aa, [FSMOE_KIND_BROADCAST] = 0x6d4c41,
};

static void keep_error(struct fsmoe_program *p, const struct fsmoe_node *node, int err)
{
	char label[128];

	fsmoe_node_label(node, label, sizeof(label));
	STARPU_PTHREAD_MUTEX_LOCK(&p->failure.lock);
	if (!p->failure.error)
	{
		p->failure.error = err;
		snprintf(p->failure.sentence, sizeof(p->failure.sentence), "%s: %s", label,
			 fsmoe_last_error());
	}
	STARPU_PTHREAD_MUTEX_UNLOCK(&p->failure.lock);
}

/* After a failure computation is skipped, but collectives go on with whatever is there: the
 * other ranks are in them, and the failure is reported when the step is waited for. */
static int skipped(struct fsmoe_program *p, const struct fsmoe_node *node)
{
	int failed;

	STARPU_PTHREAD_MUTEX_LOCK(&p->failure.lock);
	failed = p->failure.error;
	STARPU_PTHREAD_MUTEX_UNLOCK(&p->failure.lock);
	return failed && !FSMOE_KIND_IS_COMM(node->op->kind);
}

/* Fills in the call of a node's kernel. Returns how many accesses the node has. */
static int describe(const struct fsmoe_task_args *args, int node, void *buffers[],
		    const short *buffer, struct fsmoe_call *call, void **data, void **copy,
		    const struct fsmoe_tensor_info **tensor)
{
	struct fsmoe_program *p = args->program;
	const struct fsmoe_node *n = &p->nodes[node];

	*call = (struct fsmoe_call){.node = n,
				    .args = n->args,
				    .data = data,
				    .copy = copy,
				    .real = p->runtime->real,
				    .tensor = tensor,
				    .n = n->naccess,
				    .step = &args->step};
	for (int i = 0; i < n->naccess; i++)
	{
		const struct fsmoe_tensor_info *t =
			buffer[i] == FSMOE_ABSENT ? NULL : &p->tensors[n->access[i].tensor];
		char *base = NULL;

		if (buffer[i] == FSMOE_MERGED)
			base = p->merged[t->base];
		else if (t)
			base = (char *)STARPU_VECTOR_GET_PTR(buffers[buffer[i]]);
		tensor[i] = t;
		data[i] = t ? base + fsmoe_tensor_element(call->real, t) * t->offset : NULL;
		copy[i] = t && p->handles[t->base]->copy
				  ? (uint16_t *)p->handles[t->base]->copy + t->offset
				  : NULL;
	}
	if (FSMOE_KIND_IS_COMM(n->op->kind))
		call->comm = fsmoe_comms_get(p->runtime->comms, n->op->group(n->args));
	return n->naccess;
}

void fsmoe_task_run(const struct fsmoe_task_args *args, void *buffers[], fsmoe_run_fn run)
{
	struct fsmoe_program *p = args->program;
	const struct fsmoe_task_template *template = args->template;
	const short *buffer = template->buffer;

	for (int k = 0; k < template->nnodes; k++)
	{
		const struct fsmoe_node *node = &p->nodes[template->node[k]];
		void *data[node->naccess + 1], *copy[node->naccess + 1];
		const struct fsmoe_tensor_info *tensor[node->naccess + 1];
		struct fsmoe_call call;
		int err;

		if (skipped(p, node))
			return;
		buffer += describe(args, template->node[k], buffers, buffer, &call, data, copy,
				   tensor);
		err = run(args, &call);
		if (err)
			keep_error(p, node, err);
	}
}

static int run_node(const struct fsmoe_task_args *args, const struct fsmoe_call *call)
{
	struct fsmoe_program *p = args->program;
	const int id = call->node->id;
	int err;

	p->times.start[id] = fsmoe_clock();
	err = fsmoe_bf16_on_host(call->node->op->cpu[FSMOE_F32], call);
	p->times.end[id] = fsmoe_clock();
	return err;
}

/* Every CPU codelet's function: unpacks the buffers for the rows' kernels. */
static void run_cpu(void *buffers[], void *arg)
{
	const struct fsmoe_task_args *args = arg;
	struct fsmoe_program *p = args->program;
	const struct fsmoe_node *node = &p->nodes[args->template->node[0]];

	fsmoe_watch_task(p->runtime->watch, node->lane, args->template->label, node->seq);
	fsmoe_task_run(args, buffers, run_node);
	fsmoe_watch_done(p->runtime->watch, node->lane);
}

fsmoe_cuda_fn fsmoe_runtime_kernel(fsmoe_runtime_t rt, const struct fsmoe_op *op)
{
	return rt->gpu ? fsmoe_cuda_kernel(op, rt->real) : NULL;
}

struct fsmoe_codelet *fsmoe_codelet_of(fsmoe_runtime_t rt, const struct fsmoe_op *op)
{
	struct fsmoe_codelet *c;

	for (c = rt->codelets; c; c = c->next)
		if (c->op == op)
			return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->op = op;
	if (fsmoe_runtime_kernel(rt, op))
	{
		c->codelet.where = STARPU_CUDA;
		c->codelet.cuda_funcs[0] = fsmoe_gpu->run;
		c->codelet.cuda_flags[0] = STARPU_CUDA_ASYNC;
	}
	else
	{
		c->codelet.where = STARPU_CPU;
		c->codelet.cpu_funcs[0] = run_cpu;
	}
	c->codelet.nbuffers = STARPU_VARIABLE_NBUFFERS;
	c->codelet.name = op->name;
	c->codelet.color = colours[op->kind];
	c->early = c->codelet;
	c->early.cuda_flags[0] = 0;
	fsmoe_codelet_set_model(rt, c);
	c->next = rt->codelets;
	rt->codelets = c;
	return c;
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
