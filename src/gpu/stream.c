/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/fresh.h"
#include "comm/comm.h"
#include "gpu/device_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

/*
 * Every lane is a stream, in the order of fsmoe_stream_sync_order. An edge inside a lane is the
 * stream's own order; of the edges from another lane only the latest needs an event, and none that
 * the lane has waited for already.
 */

void fsmoe_stream_describe(struct fsmoe_stream *s, const struct fsmoe_node *node,
			   struct fsmoe_call *call, void **data, void **copy,
			   const struct fsmoe_tensor_info **tensor)
{
	*call = (struct fsmoe_call){.node = node,
				    .args = node->args,
				    .data = data,
				    .copy = copy,
				    .real = s->memory->real,
				    .tensor = tensor,
				    .n = node->naccess,
				    .fresh = &s->fresh.node[node->id]};
	for (int i = 0; i < node->naccess; i++)
	{
		fsmoe_tensor_t t = node->access[i].tensor;
		tensor[i] = t == FSMOE_NONE ? NULL : &s->memory->tensors[t];
		data[i] = fsmoe_device_memory_data(s->memory, t);
		copy[i] = fsmoe_device_memory_copy(s->memory, t);
	}
}

static int enqueue(struct fsmoe_stream *s, const struct fsmoe_node *node,
		   const struct fsmoe_step *step)
{
	const struct fsmoe_cuda *cuda = &s->lanes->cuda[node->lane];
	const fsmoe_cuda_fn kernel = fsmoe_cuda_kernel(node->op, s->memory->real);
	void *data[node->naccess + 1], *copy[node->naccess + 1];
	const struct fsmoe_tensor_info *tensor[node->naccess + 1];
	struct fsmoe_call call;

	if (!kernel)
		return fsmoe_stream_run_on_host(s, node, step);
	fsmoe_stream_describe(s, node, &call, data, copy, tensor);
	call.step = step;
	if (FSMOE_KIND_IS_COMM(node->op->kind))
	{
		call.comm = fsmoe_comms_get(s->comms, node->op->group(node->args));
		if (!call.comm || (call.comm->size > 1 && !call.comm->nccl))
			return fsmoe_fail(
				EINVAL,
				"group %s has no communicator between GPUs: two of its ranks "
				"have one GPU; give every rank its own",
				fsmoe_group_name(node->op->group(node->args)));
	}
	return kernel(&call, cuda);
}

static int run_node(struct fsmoe_stream *s, int i, const struct fsmoe_step *step)
{
	const struct fsmoe_node *node = &s->nodes[i];
	cudaStream_t stream = s->lanes->cuda[node->lane].stream;
	int err = 0;

	for (int l = 0; l < FSMOE_NLANES && !err; l++)
		if (s->waits.on[i][l] >= 0)
			err = fsmoe_cuda_check(
				cudaStreamWaitEvent(stream, s->done[s->waits.on[i][l]], 0),
				"waiting for an event");
	if (!err && s->begin)
		err = fsmoe_cuda_check(cudaEventRecord(s->begin[i], stream), "recording an event");
	if (!err)
		err = enqueue(s, node, step);
	if (!err && s->done[i])
		err = fsmoe_cuda_check(cudaEventRecord(s->done[i], stream), "recording an event");
	if (err)
	{
		char label[128];
		fsmoe_node_label(node, label, sizeof(label));
		err = fsmoe_fail(-err, "%s: %s", label, fsmoe_last_error());
	}
	return err;
}

/* No lane begins a step before every lane has ended the last one: tensors are used again. */
static int join_lanes(struct fsmoe_stream *s)
{
	int err = 0;

	for (int l = 0; l < FSMOE_NLANES && !err; l++)
		err = fsmoe_cuda_check(cudaEventRecord(s->end[l], s->lanes->cuda[l].stream),
				       "recording an event");
	for (int l = 0; l < FSMOE_NLANES && !err; l++)
		for (int k = 0; k < FSMOE_NLANES && !err; k++)
			if (k != l)
				err = fsmoe_cuda_check(
					cudaStreamWaitEvent(s->lanes->cuda[l].stream, s->end[k], 0),
					"waiting for an event");
	return err;
}

int fsmoe_stream_submit(struct fsmoe_stream *s, const struct fsmoe_step *step)
{
	static const struct fsmoe_step first = {.step = 1};
	int err = join_lanes(s);

	if (!err)
		err = fsmoe_cuda_check(
			cudaEventRecord(s->start, s->lanes->cuda[FSMOE_COMPUTE].stream),
			"recording an event");
	for (int k = 0; k < s->nnodes && !err; k++)
		err = run_node(s, s->order[k], step ? step : &first);
	return err;
}

int fsmoe_stream_wait(struct fsmoe_stream *s)
{
	int err = 0;

	for (int l = 0; l < FSMOE_NLANES && !err; l++)
		err = fsmoe_cuda_check(cudaStreamSynchronize(s->lanes->cuda[l].stream), "a step");
	return err ? err : fsmoe_lanes_fault(s->lanes, s->graph);
}

static int seconds_between(cudaEvent_t from, cudaEvent_t to, double *seconds)
{
	float ms;
	int err = fsmoe_cuda_check(cudaEventElapsedTime(&ms, from, to), "reading a time");

	*seconds = err ? 0 : (double)ms / 1e3;
	return err;
}

int fsmoe_stream_observe(struct fsmoe_stream *s, struct fsmoe_timeline *timeline)
{
	struct fsmoe_timeline t = {.n = s->nnodes};
	int err = 0;

	if (!s->timing)
		return fsmoe_fail(EINVAL, "this stream walker was made without timing");
	t.ready = calloc((size_t)s->nnodes + 1, sizeof(double));
	t.start = calloc((size_t)s->nnodes + 1, sizeof(double));
	t.end = calloc((size_t)s->nnodes + 1, sizeof(double));
	if (!t.ready || !t.start || !t.end)
		err = fsmoe_fail(ENOMEM, "no memory for a timeline");
	for (int i = 0; i < s->nnodes && !err; i++)
	{
		err = seconds_between(s->start, s->begin[i], &t.start[i]);
		if (!err)
			err = seconds_between(s->start, s->done[i], &t.end[i]);
		t.ready[i] = t.start[i]; /* streams know no more */
		if (t.end[i] > t.makespan)
			t.makespan = t.end[i];
		t.busy[s->nodes[i].lane] += t.end[i] - t.start[i];
	}
	if (err)
		fsmoe_timeline_destroy(&t);
	else
		*timeline = t;
	return err;
}

int fsmoe_graph_stream(fsmoe_graph_t graph, struct fsmoe_device_memory *memory, fsmoe_comms_t comms,
		       const struct fsmoe_step *step)
{
	struct fsmoe_stream *s;
	int err = fsmoe_stream_create(&s, graph, memory, comms, NULL);

	if (err)
		return err;
	err = fsmoe_stream_submit(s, step);
	if (!err)
		err = fsmoe_stream_wait(s);
	fsmoe_stream_destroy(s);
	return err;
}
