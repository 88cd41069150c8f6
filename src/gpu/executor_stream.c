/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/memory.h"
#include "gpu/device_internal.h"
#include "gpu/gpu_internal.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* Programs by the stream walker, without StarPU: the yardstick of what StarPU costs. */

static int place(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	const size_t bytes = fsmoe_handle_bytes(h);
	int err = h->window ? 0 : fsmoe_gpu->allocate(rt->gpu, bytes, (void **)&h->fixed);

	if (!err && h->role == FSMOE_ACTIVATION)
		err = fsmoe_cuda_check(cudaMemset(h->fixed, 0, bytes), "clearing memory");
	else if (!err && h->narrow)
		err = fsmoe_gpu_copy_bf16(h->fixed, NULL, h->data, h->bytes / sizeof(float));
	else if (!err)
		err = fsmoe_gpu_write(h->fixed, h->data, bytes);
	if (!err)
		err = fsmoe_cuda_check(cudaStreamSynchronize(NULL), "starting");
	if (err && !h->window)
		fsmoe_gpu->free(h->fixed);
	return err;
}

/* Copies a tensor that outlives a step back to the host's memory. */
static void take_away(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	(void)rt;
	if (fsmoe_handle_outlives(h))
		cudaMemcpy(h->data, h->fixed, h->bytes, cudaMemcpyDeviceToHost);
	if (!h->window)
		fsmoe_gpu->free(h->fixed);
}

static int create(struct fsmoe_program *p)
{
	const struct fsmoe_stream_opts opts = fsmoe_gpu_stream_opts(p->runtime->gpu);
	char **at = calloc((size_t)p->ntensors + 1, sizeof(*at)),
	     **copies = calloc((size_t)p->ntensors + 1, sizeof(*copies));
	int err = fsmoe_gpu_program_make(p);

	for (int t = 0; at && copies && t < p->ntensors; t++)
		if (p->handles[t])
		{
			at[t] = p->handles[t]->fixed;
			copies[t] = p->handles[t]->copy;
		}
	if (err)
	{
		free(at);
		free(copies);
		return err;
	}
	err = fsmoe_device_memory_wrap(&p->gpu->device, p->graph,
				       fsmoe_gpu->device(p->runtime->gpu), p->runtime->real, at,
				       copies);
	if (!err)
		err = fsmoe_stream_create(&p->gpu->stream, p->graph, p->gpu->device,
					  p->runtime->comms, &opts);
	return err;
}

static void destroy(struct fsmoe_program *p)
{
	if (!p->gpu)
		return;
	fsmoe_stream_destroy(p->gpu->stream);
	fsmoe_device_memory_destroy(p->gpu->device);
	fsmoe_gpu_program_free(p);
}

static int submit(struct fsmoe_program *p, const struct fsmoe_step *step)
{
	return fsmoe_stream_submit(p->gpu->stream, step);
}

static int wait(struct fsmoe_program *p)
{
	return fsmoe_stream_wait(p->gpu->stream);
}

static int observe(struct fsmoe_program *p)
{
	struct fsmoe_timeline t;
	int err = fsmoe_stream_observe(p->gpu->stream, &t);

	if (err)
		return err;
	memcpy(p->times.start, t.start, (size_t)p->nnodes * sizeof(*t.start));
	memcpy(p->times.end, t.end, (size_t)p->nnodes * sizeof(*t.end));
	fsmoe_timeline_destroy(&t);
	return 0;
}

static int write_tensor(struct fsmoe_program *p, fsmoe_tensor_t tensor, const void *from,
			size_t bytes)
{
	return fsmoe_device_memory_write(p->gpu->device, tensor, from, bytes);
}

static int read_tensor(struct fsmoe_program *p, fsmoe_tensor_t tensor, size_t first, size_t n,
		       void *to)
{
	return fsmoe_device_memory_read_part(p->gpu->device, tensor, first, n, to);
}

static int pull(struct fsmoe_program *p, const fsmoe_tensor_t *tensors, int n)
{
	int err = 0;

	for (int i = 0; i < n && !err; i++)
		err = fsmoe_device_memory_read(p->gpu->device, tensors[i],
					       fsmoe_memory_data(p->memory, tensors[i]),
					       fsmoe_device_tensor_bytes(&p->tensors[tensors[i]]));
	return err;
}

const struct fsmoe_executor fsmoe_executor_stream = {
	.name = "stream",
	.place = place,
	.remove = take_away,
	.create = create,
	.destroy = destroy,
	.submit = submit,
	.wait = wait,
	.observe = observe,
	.write = write_tensor,
	.read = read_tensor,
	.pull = pull,
};
