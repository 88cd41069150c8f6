/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/cuda/fault.h"
#include "runtime/device_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* Everything that a step needs is made here: streams, events, scratch, cuBLAS. */

enum
{
	WORKSPACE = 32 << 20 /* what cuBLAS asks for on this generation of GPUs */
};

static int plan_waits(struct fsmoe_stream *s, char *waited_for)
{
	int seen[FSMOE_NLANES][FSMOE_NLANES], *first, *pred;
	int err = fsmoe_graph_edges(s->graph, &first, &pred);

	if (err)
		return err;
	memset(seen, -1, sizeof(seen));
	for (int i = 0; i < s->nnodes; i++)
	{
		enum fsmoe_lane lane = s->nodes[i].lane;
		int last[FSMOE_NLANES] = {-1, -1, -1};
		for (int k = first[i]; k < first[i + 1]; k++)
			if (pred[k] > last[s->nodes[pred[k]].lane])
				last[s->nodes[pred[k]].lane] = pred[k];
		for (int l = 0; l < FSMOE_NLANES; l++)
		{
			int needed = l != (int)lane && last[l] > seen[lane][l];
			s->wait[i][l] = needed ? last[l] : -1;
			if (!needed)
				continue;
			seen[lane][l] = last[l];
			waited_for[last[l]] = 1;
		}
	}
	free(first);
	free(pred);
	return 0;
}

static int make_events(struct fsmoe_stream *s)
{
	unsigned flags = s->timing ? cudaEventDefault : cudaEventDisableTiming;
	char *waited_for = calloc((size_t)s->nnodes + 1, 1);
	int err;

	s->wait = calloc((size_t)s->nnodes + 1, sizeof(*s->wait));
	s->done = calloc((size_t)s->nnodes + 1, sizeof(*s->done));
	s->begin = s->timing ? calloc((size_t)s->nnodes + 1, sizeof(*s->begin)) : NULL;
	if (!waited_for || !s->wait || !s->done || (s->timing && !s->begin))
		err = fsmoe_fail(ENOMEM, "no memory for a graph's events");
	else
		err = plan_waits(s, waited_for);
	for (int i = 0; i < s->nnodes && !err; i++)
	{
		if (waited_for[i] || s->timing)
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
	free(waited_for);
	return err;
}

static size_t scratch_of(struct fsmoe_stream *s, const struct fsmoe_node *node)
{
	void *data[node->naccess + 1];
	const struct fsmoe_tensor_info *tensor[node->naccess + 1];
	struct fsmoe_call call;

	if (!node->op->cuda_scratch)
		return 0;
	fsmoe_stream_describe(s, node, &call, data, tensor, 1);
	return node->op->cuda_scratch(&call);
}

static int make_scratch(struct fsmoe_stream *s)
{
	int err = 0;

	for (int i = 0; i < s->nnodes; i++)
	{
		struct fsmoe_cuda *c = &s->cuda[s->nodes[i].lane];
		size_t bytes = scratch_of(s, &s->nodes[i]);
		if (bytes > c->scratch_bytes)
			c->scratch_bytes = bytes;
	}
	for (int l = 0; l < FSMOE_NLANES && !err; l++)
	{
		struct fsmoe_cuda *c = &s->cuda[l];
		s->bytes += c->scratch_bytes;
		if (c->scratch_bytes)
			err = fsmoe_cuda_check(cudaMalloc(&c->scratch, c->scratch_bytes),
					       "allocating scratch memory");
	}
	return err;
}

static int blas_check(cublasStatus_t status)
{
	return status == CUBLAS_STATUS_SUCCESS ? 0
					       : fsmoe_fail(EIO, "cuBLAS does not start: %s",
							    cublasGetStatusString(status));
}

/* The workspace is given after the stream, which would take it away again, and is our own because
 * cuBLAS's choices, and so its sums, then do not depend on other streams. */
static int make_blas(struct fsmoe_stream *s, int tf32)
{
	struct fsmoe_cuda *c = &s->cuda[FSMOE_COMPUTE];
	int err = blas_check(cublasCreate(&c->cublas));

	if (!err)
		err = fsmoe_cuda_check(cudaMalloc(&s->workspace, WORKSPACE),
				       "allocating the workspace of cuBLAS");
	if (!err)
		err = blas_check(cublasSetStream(c->cublas, c->stream));
	if (!err)
		err = blas_check(cublasSetWorkspace(c->cublas, s->workspace, WORKSPACE));
	if (!err)
		err = blas_check(cublasSetMathMode(c->cublas, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH
								   : CUBLAS_DEFAULT_MATH));
	s->bytes += WORKSPACE;
	return err;
}

static int make_lanes(struct fsmoe_stream *s)
{
	struct fsmoe_cuda_fault *fault = NULL;
	int err =
		fsmoe_cuda_check(cudaMalloc((void **)&fault, sizeof(*fault)), "allocating memory");

	if (!err)
		err = fsmoe_cuda_check(cudaMemset(fault, 0, sizeof(*fault)), "clearing memory");
	for (int l = 0; l < FSMOE_NLANES; l++)
		s->cuda[l].fault = fault;
	for (int l = 0; l < FSMOE_NLANES && !err; l++)
		err = fsmoe_cuda_check(
			cudaStreamCreateWithFlags(&s->cuda[l].stream, cudaStreamNonBlocking),
			"making a stream");
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
	err = make_lanes(s);
	if (!err)
		err = make_events(s);
	if (!err)
		err = make_scratch(s);
	if (!err)
		err = make_blas(s, opts && opts->tf32);
	/* Memory was set by the default stream, for which these do not wait. */
	if (!err)
		err = fsmoe_cuda_check(cudaDeviceSynchronize(), "starting the streams");
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
	if (s->cuda[FSMOE_COMPUTE].cublas)
		cublasDestroy(s->cuda[FSMOE_COMPUTE].cublas);
	for (int l = 0; l < FSMOE_NLANES; l++)
	{
		if (s->end[l])
			cudaEventDestroy(s->end[l]);
		cudaFree(s->cuda[l].scratch);
		if (s->cuda[l].stream)
			cudaStreamDestroy(s->cuda[l].stream);
	}
	cudaFree(s->cuda[0].fault);
	cudaFree(s->workspace);
	free(s->wait);
	free(s->done);
	free(s->begin);
	free(s);
}

size_t fsmoe_stream_bytes(struct fsmoe_stream *s)
{
	return s->bytes;
}
