/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"
#include "graph/memory.h"
#include "runtime/bf16.h"
#include "runtime/gpu_ops.h"
#include "runtime/introspect.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int make_handles(struct fsmoe_program *p)
{
	struct fsmoe_home *homes = calloc((size_t)p->ntensors + 1, sizeof(*homes));
	struct fsmoe_nccl_window *window = NULL;
	int err = homes ? 0 : fsmoe_fail(ENOMEM, "no memory for %d tensors", p->ntensors);

	if (!err && p->runtime->gpu)
		err = fsmoe_gpu->find_homes(p, homes, &window);
	for (int t = 0; t < p->ntensors && !err; t++)
	{
		if (p->tensors[t].base != t)
			continue;
		size_t bytes = fsmoe_shape_count(&p->tensors[t].shape) *
			       fsmoe_element_bytes(FSMOE_F32, p->tensors[t].dtype);
		p->handles[t] = fsmoe_handle_get(p->runtime, fsmoe_memory_data(p->memory, t), bytes,
						 &p->tensors[t], homes[t], &err);
	}
	if (window)
		fsmoe_gpu->release_window(window);
	free(homes);
	return err;
}

static int allocate(struct fsmoe_program *p)
{
	p->templates = calloc((size_t)p->nnodes + 1, sizeof(*p->templates));
	p->order = calloc((size_t)p->nnodes + 1, sizeof(*p->order));
	p->handles = calloc((size_t)p->ntensors + 1, sizeof(*p->handles));
	p->work = calloc((size_t)p->nnodes + 1, sizeof(double));
	p->times.ready = calloc((size_t)p->nnodes + 1, sizeof(double));
	p->times.start = calloc((size_t)p->nnodes + 1, sizeof(double));
	p->times.submitted = calloc((size_t)p->nnodes + 1, sizeof(double));
	p->times.end = calloc((size_t)p->nnodes + 1, sizeof(double));
	if (!p->templates || !p->order || !p->handles || !p->work || !p->times.ready ||
	    !p->times.start || !p->times.end || !p->times.submitted)
		return fsmoe_fail(ENOMEM, "no memory for a program of %d nodes", p->nnodes);
	for (int i = 0; i < p->nnodes; i++)
		p->work[i] = fsmoe_node_work(&p->nodes[i], p->tensors);
	return 0;
}

void fsmoe_program_drop(fsmoe_program_t p)
{
	for (int t = 0; p && p->handles && t < p->ntensors; t++)
		if (p->handles[t] && p->handles[t]->users == 1)
			p->handles[t]->unwanted = 1;
	fsmoe_program_destroy(p);
}

int fsmoe_program_create(fsmoe_program_t *program, fsmoe_runtime_t rt, fsmoe_graph_t graph,
			 fsmoe_memory_t memory)
{
	struct fsmoe_program *p;
	int err = fsmoe_graph_status(graph);

	if (!err && fsmoe_memory_real(memory) != FSMOE_F32)
		err = fsmoe_fail(EINVAL, "programs run in float; this memory holds doubles");
	if (!err && rt->real == FSMOE_BF16)
		err = fsmoe_bf16_check(graph);
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
	STARPU_PTHREAD_MUTEX_INIT(&p->failure.lock, NULL);
	err = allocate(p);
	if (!err)
		err = make_handles(p);
	if (!err)
		err = rt->executor->create(p);
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
	p->runtime->executor->destroy(p);
	for (int t = 0; p->handles && t < p->ntensors; t++)
		fsmoe_handle_put(p->runtime, p->handles[t]);
	STARPU_PTHREAD_MUTEX_DESTROY(&p->failure.lock);
	free(p->templates);
	free(p->order);
	free(p->merged);
	free(p->handles);
	free(p->work);
	free(p->times.ready);
	free(p->times.start);
	free(p->times.submitted);
	free(p->times.end);
	free(p);
}

/* For who asks where this rank is. */
static void say_step(fsmoe_runtime_t rt, uint64_t step)
{
	char phase[32] = "evaluation";

	if (step > 0)
		snprintf(phase, sizeof(phase), "step %" PRIu64, step);
	fsmoe_watch_phase(rt->watch, phase);
}

int fsmoe_program_submit(fsmoe_program_t p, const struct fsmoe_step *step)
{
	p->step = step->step;
	say_step(p->runtime, step->step);
	return p->runtime->executor->submit(p, step);
}

int fsmoe_program_wait(fsmoe_program_t p)
{
	const int err = p->runtime->executor->wait(p);

	return err || !p->runtime->record ? err : fsmoe_record_step(p);
}

static int check_bytes(fsmoe_program_t p, fsmoe_tensor_t tensor, size_t bytes)
{
	const struct fsmoe_tensor_info *t = &p->tensors[tensor];
	size_t have = fsmoe_shape_count(&t->shape) * fsmoe_element_bytes(FSMOE_F32, t->dtype);

	return bytes == have ? 0
			     : fsmoe_fail(EINVAL, "tensor '%s' has %zu bytes, not %zu", t->name,
					  have, bytes);
}

int fsmoe_program_write(fsmoe_program_t p, fsmoe_tensor_t tensor, const void *data, size_t bytes)
{
	const int err = check_bytes(p, tensor, bytes);

	return err ? err : p->runtime->executor->write(p, tensor, data, bytes);
}

int fsmoe_program_read(fsmoe_program_t p, fsmoe_tensor_t tensor, void *data, size_t bytes)
{
	const int err = check_bytes(p, tensor, bytes);

	return err ? err : fsmoe_program_read_part(p, tensor, 0, bytes / sizeof(float), data);
}

int fsmoe_program_read_part(fsmoe_program_t p, fsmoe_tensor_t tensor, size_t first, size_t n,
			    void *data)
{
	return p->runtime->executor->read(p, tensor, first, n, data);
}

int fsmoe_program_pull(fsmoe_program_t p, const fsmoe_tensor_t *tensors, int n)
{
	return p->runtime->gpu ? p->runtime->executor->pull(p, tensors, n) : 0;
}
