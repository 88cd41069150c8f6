/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/device_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

/* Everything that a step needs is made here. */

static int make_events(struct fsmoe_stream *s)
{
	unsigned flags = s->timing ? cudaEventDefault : cudaEventDisableTiming;
	int err;

	s->done = calloc((size_t)s->nnodes + 1, sizeof(*s->done));
	s->begin = s->timing ? calloc((size_t)s->nnodes + 1, sizeof(*s->begin)) : NULL;
	if (!s->done || (s->timing && !s->begin))
		err = fsmoe_fail(ENOMEM, "no memory for a graph's events");
	else
		err = fsmoe_stream_sync_order(&s->order, s->graph);
	if (!err)
		err = fsmoe_stream_sync_plan(&s->waits, s->graph, s->order);
	for (int i = 0; i < s->nnodes && !err; i++)
	{
		if (s->waits.awaited[i] || s->timing)
			err = fsmoe_cuda_check(cudaEventCreateWithFlags(&s->done[i], flags),
					       "making an event");
		if (s->timing && !err)
			err = fsmoe_cuda_check(cudaEventCreateWithFlags(&s->begin[i], flags),
					       "making an event");
	}
	if (!err)
		err = fsmoe_cuda_check(cudaEventCreate(&s->start), "making an event");
	for (int l = 0; l < FSMOE_NLANES && !err; l++)
		err = fsmoe_cuda_check(cudaEventCreateWithFlags(&s->end[l], cudaEventDisableTiming),
				       "making an event");
	return err;
}

int fsmoe_stream_create(struct fsmoe_stream **stream, fsmoe_graph_t graph,
			struct fsmoe_device_memory *memory, fsmoe_comms_t comms,
			const struct fsmoe_stream_opts *opts)
{
	struct fsmoe_stream *s;
	int err = fsmoe_graph_status(graph);

	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	if (!s)
		return fsmoe_fail(ENOMEM, "no memory for the streams of a graph");
	s->graph = graph;
	s->memory = memory;
	s->comms = comms;
	s->timing = opts && opts->timing;
	s->nodes = fsmoe_graph_nodes(graph, &s->nnodes);
	s->lanes = opts && opts->lanes ? opts->lanes : &s->own;
	err = s->lanes == &s->own ? fsmoe_lanes_make(&s->own, opts && opts->tf32) : 0;
	s->lanes->real = memory->real;
	if (!err)
		err = make_events(s);
	if (!err)
		err = fsmoe_fresh_find(&s->fresh, graph, memory->real);
	for (int i = 0; i < s->nnodes && !err; i++)
		err = fsmoe_lanes_reserve(s->lanes, &s->nodes[i], memory->tensors);
	if (err)
	{
		fsmoe_stream_destroy(s);
		return err;
	}
	*stream = s;
	return 0;
}

void fsmoe_stream_destroy(struct fsmoe_stream *s)
{
	if (!s)
		return;
	cudaDeviceSynchronize();
	for (int i = 0; i < s->nnodes; i++)
	{
		if (s->done && s->done[i])
			cudaEventDestroy(s->done[i]);
		if (s->begin && s->begin[i])
			cudaEventDestroy(s->begin[i]);
	}
	if (s->start)
		cudaEventDestroy(s->start);
	for (int l = 0; l < FSMOE_NLANES; l++)
		if (s->end[l])
			cudaEventDestroy(s->end[l]);
	if (s->lanes == &s->own)
		fsmoe_lanes_free(&s->own);
	fsmoe_stream_sync_free(&s->waits);
	fsmoe_fresh_free(&s->fresh);
	free(s->order);
	free(s->done);
	free(s->begin);
	free(s);
}

size_t fsmoe_stream_bytes(struct fsmoe_stream *s)
{
	return s->lanes->bytes;
}
