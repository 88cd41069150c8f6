/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"
#include "graph/memory.h"
#include "runtime/runtime.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

static const enum starpu_data_access_mode modes[] = {
	[FSMOE_R] = STARPU_R, [FSMOE_W] = STARPU_W, [FSMOE_RW] = STARPU_RW};

static int make_slot(struct fsmoe_program *p, int i)
{
	const struct fsmoe_node *node = &p->nodes[i];
	struct fsmoe_slot *slot = &p->slots[i];
	fsmoe_tensor_t base[node->naccess + 1];
	int mode[node->naccess + 1];
	size_t room = (size_t)node->naccess + 1;
	char label[128];

	fsmoe_node_label(node, label, sizeof(label));
	fsmoe_trace_label(p->runtime->trace, label);
	slot->label = strdup(label);
	slot->codelet = fsmoe_codelet_of(p->runtime, node->op);
	slot->handles = calloc(room, sizeof(*slot->handles));
	slot->modes = calloc(room, sizeof(*slot->modes));
	slot->buffer = calloc(room, sizeof(*slot->buffer));
	if (!slot->label || !slot->codelet || !slot->handles || !slot->modes || !slot->buffer)
		return fsmoe_fail(ENOMEM, "no memory for node '%s'", label);
	if (!node->op->cpu[FSMOE_F32])
		return fsmoe_fail(ENODEV, "operation '%s' has no CPU kernel", node->op->name);
	slot->nbuffers = fsmoe_node_bases(p->graph, node, base, mode);
	for (int k = 0; k < slot->nbuffers; k++)
	{
		slot->handles[k] = p->handles[base[k]]->handle;
		slot->modes[k] = modes[mode[k]];
	}
	for (int a = 0; a < node->naccess; a++)
	{
		slot->buffer[a] = -1;
		for (int k = 0; node->access[a].tensor != FSMOE_NONE && k < slot->nbuffers; k++)
			if (base[k] == p->tensors[node->access[a].tensor].base)
				slot->buffer[a] = (short)k;
	}
	if (node->seq >= 0)
		p->nseq[node->lane]++;
	return 0;
}

static int make_handles(struct fsmoe_program *p)
{
	for (int t = 0; t < p->ntensors; t++)
	{
		if (p->tensors[t].base != t)
			continue;
		size_t bytes = fsmoe_shape_count(&p->tensors[t].shape) *
			       fsmoe_element_bytes(FSMOE_F32, p->tensors[t].dtype);
		p->handles[t] = fsmoe_handle_get(p->runtime, fsmoe_memory_data(p->memory, t), bytes,
						 p->tensors[t].name);
		if (!p->handles[t])
			return fsmoe_fail(ENOMEM, "no memory to register tensor '%s'",
					  p->tensors[t].name);
	}
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
		if (!FSMOE_KIND_IS_COMM(node->op->kind))
			continue;
		for (int a = 0; a < node->naccess; a++)
		{
			size_t n = fsmoe_shape_count(&p->tensors[node->access[a].tensor].shape) *
				   sizeof(float);
			most = n > most ? n : most;
		}
		err = fsmoe_comm_reserve(
			fsmoe_comms_get(p->runtime->comms, node->op->group(node->args)), most);
	}
	return err;
}

int fsmoe_program_create(fsmoe_program_t *program, fsmoe_runtime_t rt, fsmoe_graph_t graph,
			 fsmoe_memory_t memory)
{
	struct fsmoe_program *p;
	int err = fsmoe_graph_status(graph);

	if (!err && fsmoe_memory_real(memory) != FSMOE_F32)
		err = fsmoe_fail(EINVAL, "programs run in float; this memory holds doubles");
	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p)
		return fsmoe_fail(ENOMEM, "no memory for a program");
	p->runtime = rt;
	p->graph = graph;
	p->memory = memory;
	p->nodes = fsmoe_graph_nodes(graph, &p->nnodes);
	p->tensors = fsmoe_graph_tensors(graph, &p->ntensors);
	STARPU_PTHREAD_MUTEX_INIT(&p->lock, NULL);
	p->slots = calloc((size_t)p->nnodes + 1, sizeof(*p->slots));
	p->handles = calloc((size_t)p->ntensors + 1, sizeof(*p->handles));
	p->start = calloc((size_t)p->nnodes + 1, sizeof(double));
	p->end = calloc((size_t)p->nnodes + 1, sizeof(double));
	if (!p->slots || !p->handles || !p->start || !p->end)
		err = fsmoe_fail(ENOMEM, "no memory for a program of %d nodes", p->nnodes);
	if (!err)
		err = make_handles(p);
	for (int i = 0; i < p->nnodes && !err; i++)
		err = make_slot(p, i);
	if (!err)
		err = reserve_comms(p);
	if (!err)
		err = fsmoe_program_agree(p);
	if (err)
	{
		fsmoe_program_destroy(p);
		return err;
	}
	*program = p;
	return 0;
}

void fsmoe_program_destroy(fsmoe_program_t p)
{
	if (!p)
		return;
	starpu_task_wait_for_all();
	for (int i = 0; p->slots && i < p->nnodes; i++)
	{
		free(p->slots[i].label);
		free(p->slots[i].handles);
		free(p->slots[i].modes);
		free(p->slots[i].buffer);
	}
	for (int t = 0; p->handles && t < p->ntensors; t++)
		fsmoe_handle_put(p->runtime, p->handles[t]);
	STARPU_PTHREAD_MUTEX_DESTROY(&p->lock);
	free(p->slots);
	free(p->handles);
	free(p->start);
	free(p->end);
	free(p);
}

int fsmoe_program_submit(fsmoe_program_t p, const struct fsmoe_step *step)
{
	int err = fsmoe_trace_submit(p->runtime->trace, p->runtime->comms, step->step);

	for (int i = 0; i < p->nnodes && !err; i++)
	{
		fsmoe_trace_node(p->runtime->trace, p->nodes[i].layer);
		err = fsmoe_submit_node(p, i, step);
	}
	for (int lane = 0; lane < FSMOE_NLANES && !err; lane++)
		p->runtime->next_seq[lane] += p->nseq[lane];
	return err;
}

int fsmoe_program_wait(fsmoe_program_t p)
{
	int err;

	starpu_task_wait_for_all();
	fsmoe_trace_waited(p->runtime->trace);
	err = p->error;
	p->error = 0; /* the next step starts afresh */
	return err ? fsmoe_fail(-err, "%s", p->sentence) : 0;
}

int fsmoe_program_observe(fsmoe_program_t p, struct fsmoe_timeline *timeline)
{
	size_t bytes = ((size_t)p->nnodes + 1) * sizeof(double);
	struct fsmoe_timeline tl = {.n = p->nnodes, .start = malloc(bytes), .end = malloc(bytes)};
	double zero = p->nnodes ? p->start[0] : 0;

	if (!tl.start || !tl.end)
	{
		fsmoe_timeline_destroy(&tl);
		return fsmoe_fail(ENOMEM, "no memory for a timeline of %d nodes", p->nnodes);
	}
	for (int i = 0; i < p->nnodes; i++)
		zero = p->start[i] < zero ? p->start[i] : zero;
	for (int i = 0; i < p->nnodes; i++)
	{
		tl.start[i] = p->start[i] - zero;
		tl.end[i] = p->end[i] - zero;
		tl.busy[p->nodes[i].lane] += p->end[i] - p->start[i];
		tl.makespan = tl.end[i] > tl.makespan ? tl.end[i] : tl.makespan;
	}
	*timeline = tl;
	return 0;
}

static int copy(fsmoe_program_t p, fsmoe_tensor_t tensor, void *to, const void *from, size_t bytes,
		enum starpu_data_access_mode mode)
{
	const struct fsmoe_tensor_info *t = &p->tensors[tensor];
	size_t have = fsmoe_shape_count(&t->shape) * fsmoe_element_bytes(FSMOE_F32, t->dtype);
	starpu_data_handle_t handle = p->handles[t->base]->handle;
	void *data = fsmoe_memory_data(p->memory, tensor);

	if (bytes != have)
		return fsmoe_fail(EINVAL, "tensor '%s' has %zu bytes, not %zu", t->name, have,
				  bytes);
	starpu_data_acquire(handle, mode);
	memcpy(to ? to : data, from ? from : data, bytes);
	starpu_data_release(handle);
	return 0;
}

int fsmoe_program_write(fsmoe_program_t p, fsmoe_tensor_t tensor, const void *data, size_t bytes)
{
	return copy(p, tensor, NULL, data, bytes, STARPU_RW);
}

int fsmoe_program_read(fsmoe_program_t p, fsmoe_tensor_t tensor, void *data, size_t bytes)
{
	return copy(p, tensor, data, NULL, bytes, STARPU_R);
}
