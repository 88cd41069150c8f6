/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "graph/graph.h"
#include "graph/memory.h"
#include "runtime/gpu.h"
#include "runtime/runtime.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* The submit walker: tasks, data handles. */

static const enum starpu_data_access_mode modes[] = {
	[FSMOE_R] = STARPU_R, [FSMOE_W] = STARPU_W, [FSMOE_RW] = STARPU_RW};

/* --- buffers ------------------------------------------------------------------------------ */

static unsigned gpu_node(fsmoe_runtime_t rt)
{
	return starpu_worker_get_memory_node(
		(unsigned)rt->lane_worker[FSMOE_ON_GPU][FSMOE_COMPUTE]);
}

_Static_assert(FSMOE_ALIGNMENT % (FSMOE_NUMBERS * sizeof(float)) == 0,
	       "a buffer's last element would reach its neighbour on the host");

/* What is bf16 has no place on the host but one that StarPU makes where a node without a CUDA kernel
 * wants it. */
static int make_known(struct fsmoe_handle *h)
{
	const size_t n = fsmoe_handle_elements(h);

	if (n > UINT32_MAX)
		return fsmoe_fail(EINVAL,
				  "tensor '%s' of %zu GiB is more than StarPU can count: make "
				  "--batch or --seq smaller, or use more ranks",
				  h->name, h->bytes >> 30);
	if (h->narrow)
		starpu_vector_data_register(&h->handle, -1, 0, (uint32_t)n,
					    fsmoe_handle_element_bytes(h));
	else
		starpu_vector_data_register(&h->handle, STARPU_MAIN_RAM, (uintptr_t)h->data,
					    (uint32_t)n, fsmoe_handle_element_bytes(h));
	starpu_data_set_name(h->handle, h->name);
	return 0;
}

/* What is only written by nodes need not travel. */
static int fill(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	const int node = (int)gpu_node(rt);
	int err = 0;

	starpu_vector_ptr_register(h->handle, (unsigned)node, (uintptr_t)h->fixed,
				   (uintptr_t)h->fixed, 0);
	if (h->role == FSMOE_INPUT && !h->narrow)
		h->pinned = fsmoe_gpu_pin(h->data, fsmoe_handle_bytes(h));
	starpu_data_acquire_on_node(h->handle, node,
				    h->role == FSMOE_ACTIVATION || h->narrow ? STARPU_W : STARPU_R);
	if (h->role == FSMOE_INPUT && h->narrow)
		err = fsmoe_gpu_copy_bf16(h->fixed, NULL, h->data, h->bytes / sizeof(float));
	starpu_data_release_on_node(h->handle, node);
	return err;
}

/* What outlives a step comes back to the host's memory. */
static void take_away(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	if (h->handle && rt->gpu && (h->role == FSMOE_ACTIVATION || h->narrow))
		starpu_data_unregister_no_coherency(h->handle);
	else if (h->handle)
		starpu_data_unregister(h->handle);
	if (h->pinned)
		fsmoe_gpu_unpin(h->data);
	if (rt->gpu && !h->window)
		fsmoe_gpu_free(h->fixed);
}

/* On a GPU the buffer gets its place there now, not in a step, and from us: what StarPU allocates it
 * keeps for others of the same size when the buffer goes, and a program made anew has none. */
static int place(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	int err = 0;

	if (!rt->gpu)
		h->fixed = h->data;
	else if (!h->window)
		err = fsmoe_gpu_allocate(rt->gpu, fsmoe_handle_bytes(h), (void **)&h->fixed);
	if (!err)
		err = make_known(h);
	if (!err && rt->gpu)
		err = fill(rt, h);
	if (err)
		take_away(rt, h);
	return err;
}

/* --- slots -------------------------------------------------------------------------------- */

/* The buffers of a slot's nodes: each once. What the first of them writes whole is not read. */
static void collect(struct fsmoe_program *p, struct fsmoe_slot *slot)
{
	fsmoe_tensor_t *all = slot->tensor;
	short *buffer = slot->buffer;

	for (int k = 0; k < slot->nnodes; k++)
	{
		const struct fsmoe_node *node = &p->nodes[slot->node[k]];
		fsmoe_tensor_t base[node->naccess + 1];
		int mode[node->naccess + 1], n = fsmoe_node_bases(p->graph, node, base, mode);

		for (int i = 0; i < node->naccess; i++)
			buffer[i] = FSMOE_ABSENT;
		for (int b = 0; b < n; b++)
		{
			int at = 0;

			while (at < slot->nbuffers && all[at] != base[b])
				at++;
			if (at == slot->nbuffers)
			{
				all[slot->nbuffers] = base[b];
				slot->handles[slot->nbuffers] = p->handles[base[b]]->handle;
				slot->modes[slot->nbuffers++] = modes[mode[b]];
			}
			else if (slot->modes[at] == STARPU_R && mode[b] & FSMOE_W)
				slot->modes[at] = STARPU_RW;
			for (int i = 0; i < node->naccess; i++)
				if (node->access[i].tensor != FSMOE_NONE &&
				    p->tensors[node->access[i].tensor].base == base[b])
					buffer[i] = (short)at;
		}
		buffer += node->naccess;
	}
}

static int make_slot(struct fsmoe_program *p, struct fsmoe_slot *slot)
{
	const struct fsmoe_node *first = &p->nodes[slot->node[0]];
	struct fsmoe_codelet *codelet;
	size_t room = 1;
	char label[160];
	int n = fsmoe_node_label(first, label, sizeof(label) - 32);

	for (int k = 0; k < slot->nnodes; k++)
		room += (size_t)p->nodes[slot->node[k]].naccess + 1;
	if (slot->nnodes > 1)
		snprintf(label + n, sizeof(label) - (size_t)n, " and %d more", slot->nnodes - 1);
	fsmoe_trace_label(p->runtime->trace, label);
	slot->label = strdup(label);
	codelet = fsmoe_codelet_of(p->runtime, first->op);
	slot->handles = calloc(room, sizeof(*slot->handles));
	slot->modes = calloc(room, sizeof(*slot->modes));
	slot->buffer = calloc(room, sizeof(*slot->buffer));
	slot->tensor = calloc(room, sizeof(*slot->tensor));
	if (!slot->label || !codelet || !slot->handles || !slot->modes || !slot->buffer ||
	    !slot->tensor)
		return fsmoe_fail(ENOMEM, "no memory for task '%s'", label);
	slot->codelet = &codelet->codelet;
	slot->ahead = first->lane == FSMOE_COMPUTE ? &codelet->ahead : NULL;
	collect(p, slot);
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
		err = fsmoe_chain_nodes(p);
	for (int i = 0; i < p->nslots && !err; i++)
		err = make_slot(p, &p->slots[i]);
	if (!err && p->runtime->chain)
		err = fsmoe_alike_ride(p);
	if (!err)
		err = reserve_comms(p);
	if (!err && p->runtime->gpu)
		err = fsmoe_gpu_reserve(p->runtime->gpu, p);
	return err;
}

static void destroy(struct fsmoe_program *p)
{
	starpu_task_wait_for_all();
	if (p->runtime->gpu)
		fsmoe_gpu_release(p);
	for (int i = 0; p->slots && i < p->nslots; i++)
	{
		free(p->slots[i].label);
		free(p->slots[i].handles);
		free(p->slots[i].modes);
		free(p->slots[i].tensor);
		free(p->slots[i].buffer);
	}
}

/* --- steps -------------------------------------------------------------------------------- */

static int submit(struct fsmoe_program *p, const struct fsmoe_step *step)
{
	int err = fsmoe_trace_submit(p->runtime->trace, p->runtime->comms, step->step);

	if (!err && p->runtime->gpu)
		err = fsmoe_gpu_begin(p->runtime->gpu, p);
	for (int i = 0; i < p->nslots && !err; i++)
	{
		fsmoe_trace_node(p->runtime->trace, p->nodes[p->slots[i].node[0]].layer);
		err = fsmoe_submit_slot(p, &p->slots[i], step);
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
		fault = fsmoe_gpu_finish(p->runtime->gpu);
	if (p->runtime->gpu && !fault)
		fault = fsmoe_gpu_fault(p->runtime->gpu, p->graph);
	err = p->error;
	p->error = 0; /* the next step starts afresh */
	return err ? fsmoe_fail(-err, "%s", p->sentence) : fault;
}

static int observe(struct fsmoe_program *p)
{
	return p->runtime->gpu ? fsmoe_gpu_observe(p) : 0;
}

/* Tasks have written what rides without StarPU's knowledge: on the GPU alone it is current. */
static void tell_starpu(struct fsmoe_program *p, fsmoe_tensor_t base)
{
	const int node = (int)gpu_node(p->runtime);

	if (!p->rides || !p->rides[base])
		return;
	starpu_data_acquire_on_node(p->handles[base]->handle, node, STARPU_RW);
	starpu_data_release_on_node(p->handles[base]->handle, node);
}

/* What is bf16 goes straight to its place on the GPU, or comes from there. */
static int copy_narrow(struct fsmoe_program *p, fsmoe_tensor_t tensor, float *to, const float *from,
		       size_t n)
{
	const struct fsmoe_handle *h = p->handles[p->tensors[tensor].base];
	const int node = (int)gpu_node(p->runtime);
	int err;

	starpu_data_acquire_on_node(h->handle, node, from ? STARPU_RW : STARPU_R);
	err = fsmoe_gpu_copy_bf16(h->fixed + p->tensors[tensor].offset * sizeof(uint16_t), to, from,
				  n);
	starpu_data_release_on_node(h->handle, node);
	return err;
}

/* A parameter was written from outside: its copy too. */
static int renew_copy(struct fsmoe_program *p, fsmoe_tensor_t tensor, size_t n)
{
	const struct fsmoe_handle *h = p->handles[p->tensors[tensor].base];
	const size_t offset = p->tensors[tensor].offset;
	const int node = (int)gpu_node(p->runtime);
	int err;

	starpu_data_acquire_on_node(h->handle, node, STARPU_R);
	err = fsmoe_gpu_write_copy((const float *)(void *)h->fixed + offset, n,
				   (uint16_t *)h->copy + offset);
	starpu_data_release_on_node(h->handle, node);
	return err;
}

static int copy(struct fsmoe_program *p, fsmoe_tensor_t tensor, void *to, const void *from,
		size_t bytes)
{
	const struct fsmoe_handle *h = p->handles[p->tensors[tensor].base];
	void *data = fsmoe_memory_data(p->memory, tensor);

	if (h->narrow)
		return copy_narrow(p, tensor, to, from, bytes / sizeof(float));
	if (p->runtime->gpu)
		tell_starpu(p, p->tensors[tensor].base);
	/* What is overwritten whole need not come from the GPU first. */
	starpu_data_acquire(h->handle, to ? STARPU_R : bytes == h->bytes ? STARPU_W : STARPU_RW);
	memcpy(to ? to : data, from ? from : data, bytes);
	starpu_data_release(h->handle);
	if (from && p->runtime->gpu)
		tell_starpu(p, p->tensors[tensor].base);
	return from && h->copy ? renew_copy(p, tensor, bytes / sizeof(float)) : 0;
}

/* All are on their way before the first is waited for. */
static int pull(struct fsmoe_program *p, const fsmoe_tensor_t *tensors, int n)
{
	int err = 0;

	for (int i = 0; i < n; i++)
	{
		const struct fsmoe_handle *h = p->handles[p->tensors[tensors[i]].base];

		if (h->narrow)
			continue;
		tell_starpu(p, p->tensors[tensors[i]].base);
		starpu_data_prefetch_on_node(h->handle, STARPU_MAIN_RAM, 1);
	}
	for (int i = 0; i < n && !err; i++)
	{
		const struct fsmoe_tensor_info *t = &p->tensors[tensors[i]];
		const struct fsmoe_handle *h = p->handles[t->base];

		if (h->narrow)
			err = copy_narrow(p, tensors[i], fsmoe_memory_data(p->memory, tensors[i]),
					  NULL, fsmoe_shape_count(&t->shape));
		else
		{
			starpu_data_acquire(h->handle, STARPU_R);
			starpu_data_release(h->handle);
		}
	}
	return err;
}

const struct fsmoe_executor fsmoe_executor_starpu = {
	.name = "starpu",
	.place = place,
	.remove = take_away,
	.create = create,
	.destroy = destroy,
	.submit = submit,
	.wait = wait,
	.observe = observe,
	.copy = copy,
	.pull = pull,
};
