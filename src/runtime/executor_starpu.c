/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "graph/graph.h"
#include "runtime/data.h"
#include "runtime/gpu_ops.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* The submit walker: tasks. */

static const enum starpu_data_access_mode modes[] = {
	[FSMOE_R] = STARPU_R, [FSMOE_W] = STARPU_W, [FSMOE_RW] = STARPU_RW};

/* --- templates -------------------------------------------------------------------------------- */

/* The buffers of a template's nodes: each once. What the first of them writes whole is not read. */
static void collect(struct fsmoe_program *p, struct fsmoe_task_template *template)
{
	fsmoe_tensor_t *all = template->tensor;
	short *buffer = template->buffer;

	for (int k = 0; k < template->nnodes; k++)
	{
		const struct fsmoe_node *node = &p->nodes[template->node[k]];
		fsmoe_tensor_t base[node->naccess + 1];
		int mode[node->naccess + 1], n = fsmoe_node_bases(p->graph, node, base, mode);

		for (int i = 0; i < node->naccess; i++)
			buffer[i] = FSMOE_ABSENT;
		for (int b = 0; b < n; b++)
		{
			int at = 0;

			while (at < template->nbuffers && all[at] != base[b])
				at++;
			if (at == template->nbuffers)
			{
				all[template->nbuffers] = base[b];
				template->handles[template->nbuffers] = p->handles[base[b]]->handle;
				template->modes[template->nbuffers++] = modes[mode[b]];
			}
			else if (template->modes[at] == STARPU_R && mode[b] & FSMOE_W)
				template->modes[at] = STARPU_RW;
			for (int i = 0; i < node->naccess; i++)
				if (node->access[i].tensor != FSMOE_NONE &&
				    p->tensors[node->access[i].tensor].base == base[b])
					buffer[i] = (short)at;
		}
		buffer += node->naccess;
	}
}

static int make_template(struct fsmoe_program *p, struct fsmoe_task_template *template)
{
	const struct fsmoe_node *first = &p->nodes[template->node[0]];
	struct fsmoe_codelet *codelet;
	size_t room = 1;
	char label[160];
	int n = fsmoe_node_label(first, label, sizeof(label) - 32);

	for (int k = 0; k < template->nnodes; k++)
		room += (size_t)p->nodes[template->node[k]].naccess + 1;
	if (template->nnodes > 1)
		snprintf(label + n, sizeof(label) - (size_t)n, " and %d more",
			 template->nnodes - 1);
	fsmoe_trace_label(p->runtime->trace, label);
	template->label = strdup(label);
	codelet = fsmoe_codelet_of(p->runtime, first->op);
	template->handles = calloc(room, sizeof(*template->handles));
	template->modes = calloc(room, sizeof(*template->modes));
	template->buffer = calloc(room, sizeof(*template->buffer));
	template->tensor = calloc(room, sizeof(*template->tensor));
	if (!template->label || !codelet || !template->handles || !template->modes ||
	    !template->buffer || !template->tensor)
		return fsmoe_fail(ENOMEM, "no memory for task '%s'", label);
	template->codelet = &codelet->codelet;
	template->early = first->lane == FSMOE_COMPUTE ? &codelet->early : NULL;
	collect(p, template);
	if (first->seq >= 0)
		p->nseq[first->lane]++;
	return 0;
}

/* Ordered sums need room: reserve it now, so that no step allocates. */
static int reserve_comms(struct fsmoe_program *p)
{
	int err = 0;

	for (int i = 0; i < p->nnodes && !err; i++)
	{
		const struct fsmoe_node *node = &p->nodes[i];
		size_t most = 0;
		if (!FSMOE_KIND_IS_COMM(node->op->kind) ||
		    fsmoe_runtime_kernel(p->runtime, node->op))
			continue;
		for (int a = 0; a < node->naccess; a++)
		{
			const fsmoe_tensor_t t = node->access[a].tensor;
			size_t n = t == FSMOE_NONE ? 0
						   : fsmoe_shape_count(&p->tensors[t].shape) *
							     sizeof(float);
			most = n > most ? n : most;
		}
		err = fsmoe_comm_reserve(
			fsmoe_comms_get(p->runtime->comms, node->op->group(node->args)), most);
	}
	return err;
}

/* A host's kernel knows nothing of a parameter's copy. */
static int check_host(const struct fsmoe_program *p, const struct fsmoe_node *node)
{
	if (!node->op->cpu[FSMOE_F32])
		return fsmoe_fail(ENODEV, "operation '%s' has no %s kernel", node->op->name,
				  node->op->cuda ? "CPU" : "CPU or CUDA");
	for (int i = 0; i < node->naccess; i++)
		if (node->access[i].tensor != FSMOE_NONE && node->access[i].mode & FSMOE_W &&
		    p->handles[p->tensors[node->access[i].tensor].base]->copy)
			return fsmoe_fail(ENODEV,
					  "operation '%s' writes the parameter '%s' and has no "
					  "kernel for bf16 on GPUs: use fp32 or tf32",
					  node->op->name, p->tensors[node->access[i].tensor].name);
	return 0;
}

static int check_kernels(const struct fsmoe_program *p)
{
	const char *name = NULL;
	int host = 0, err = 0;

	for (int i = 0; i < p->nnodes && !err; i++)
	{
		if (fsmoe_runtime_kernel(p->runtime, p->nodes[i].op))
			continue;
		err = check_host(p, &p->nodes[i]);
		name = p->nodes[i].op->name;
		host++;
	}
	if (p->runtime->gpu && host && !err)
		fsmoe_log(FSMOE_LOG_WARNING,
			  "%d of %d operations of a step have no CUDA kernel ('%s' among them): "
			  "they run on the CPU, and their tensors travel",
			  host, p->nnodes, name);
	return err;
}

static int create(struct fsmoe_program *p)
{
	int err = check_kernels(p);

	if (!err)
		err = fsmoe_fuse_tasks(p);
	for (int i = 0; i < p->ntemplates && !err; i++)
		err = make_template(p, &p->templates[i]);
	if (!err && p->runtime->fuse)
		err = fsmoe_merge_handles(p);
	if (!err)
		err = reserve_comms(p);
	if (!err && p->runtime->gpu)
		err = fsmoe_gpu->reserve(p->runtime->gpu, p);
	return err;
}

static void destroy(struct fsmoe_program *p)
{
	starpu_task_wait_for_all();
	if (p->runtime->gpu)
		fsmoe_gpu->release(p);
	for (int i = 0; p->templates && i < p->ntemplates; i++)
	{
		free(p->templates[i].label);
		free(p->templates[i].handles);
		free(p->templates[i].modes);
		free(p->templates[i].tensor);
		free(p->templates[i].buffer);
	}
}

/* --- steps -------------------------------------------------------------------------------- */

static int submit(struct fsmoe_program *p, const struct fsmoe_step *step)
{
	int err = fsmoe_trace_submit(p->runtime->trace, p->runtime->comms, step->step);

	if (!err && p->runtime->gpu)
		err = fsmoe_gpu->begin(p->runtime->gpu, p);
	for (int i = 0; i < p->ntemplates && !err; i++)
	{
		fsmoe_trace_node(p->runtime->trace, p->nodes[p->templates[i].node[0]].layer);
		err = fsmoe_submit_task(p, &p->templates[i], step);
	}
	for (int lane = 0; lane < FSMOE_NLANES && !err; lane++)
		p->runtime->next_seq[lane] += p->nseq[lane];
	return err;
}

/* Waking a thread that sleeps takes as long as a small task: where a GPU works, and there are cores
 * enough, this thread looks, every few microseconds since StarPU takes a lock to tell. */
static void wait_for_tasks(fsmoe_runtime_t rt)
{
	while (rt->gpu && rt->binding.bound && starpu_task_nsubmitted() > 0)
		for (double until = fsmoe_clock() + 3e-6; fsmoe_clock() < until;)
			sched_yield();
	starpu_task_wait_for_all();
}

static int wait(struct fsmoe_program *p)
{
	int err, fault = 0;

	wait_for_tasks(p->runtime);
	fsmoe_trace_waited(p->runtime->trace);
	if (p->runtime->gpu)
		fault = fsmoe_gpu->finish(p->runtime->gpu);
	if (p->runtime->gpu && !fault)
		fault = fsmoe_gpu->fault(p->runtime->gpu, p->graph);
	err = p->failure.error;
	p->failure.error = 0; /* the next step starts afresh */
	return err ? fsmoe_fail(-err, "%s", p->failure.sentence) : fault;
}

static int observe(struct fsmoe_program *p)
{
	return p->runtime->gpu ? fsmoe_gpu->observe(p) : 0;
}

const struct fsmoe_executor fsmoe_executor_starpu = {
	.name = "starpu",
	.place = fsmoe_data_place,
	.remove = fsmoe_data_remove,
	.create = create,
	.destroy = destroy,
	.submit = submit,
	.wait = wait,
	.observe = observe,
	.write = fsmoe_data_write,
	.read = fsmoe_data_read,
	.pull = fsmoe_data_pull,
};
