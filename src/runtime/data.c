/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/data.h"

#include "graph/memory.h"
#include "runtime/gpu_ops.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

/* The submit walker: buffers as StarPU data. */

/* --- places ------------------------------------------------------------------------------- */

static unsigned gpu_node(fsmoe_runtime_t rt)
{
	return starpu_worker_get_memory_node(
		(unsigned)rt->starpu.lane_worker[FSMOE_ON_GPU][FSMOE_COMPUTE]);
}

_Static_assert(FSMOE_ALIGNMENT % (FSMOE_NUMBERS * sizeof(float)) == 0,
	       "a buffer's last element would reach its neighbour on the host");

/* What is bf16 has no place on the host but one that StarPU makes where a node without a CUDA
 * kernel wants it. */
static int make_known(struct fsmoe_handle *h)
{
	const size_t n = fsmoe_handle_elements(h);

	if (n > UINT32_MAX)
		return fsmoe_fail(EINVAL,
				  "tensor '%s' of %zu GiB is more than StarPU can count: make "
				  "--global-batch or --seq-length smaller, or use more ranks",
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

/* What is only written by nodes need not travel. What the host writes in every step goes by StarPU,
 * which knows then that both have it. */
static int fill(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	const int node = (int)gpu_node(rt), by_starpu = h->role == FSMOE_INPUT && !h->narrow;
	int err = 0;

	starpu_vector_ptr_register(h->handle, (unsigned)node, (uintptr_t)h->fixed,
				   (uintptr_t)h->fixed, 0);
	if (by_starpu)
		h->pinned = fsmoe_gpu->pin(h->data, fsmoe_handle_bytes(h));
	starpu_data_acquire_on_node(h->handle, node, by_starpu ? STARPU_R : STARPU_W);
	if (!by_starpu && h->role != FSMOE_ACTIVATION)
		err = h->narrow ? fsmoe_gpu->copy_bf16(h->fixed, NULL, h->data,
						       h->bytes / sizeof(float))
				: fsmoe_gpu->write(h->fixed, h->data, fsmoe_handle_bytes(h));
	starpu_data_release_on_node(h->handle, node);
	return err;
}

/* Copies a tensor that outlives a step back to the host's memory. */
void fsmoe_data_remove(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	if (h->handle && rt->gpu && !fsmoe_handle_outlives(h))
		starpu_data_unregister_no_coherency(h->handle);
	else if (h->handle)
		starpu_data_unregister(h->handle);
	if (h->pinned)
		fsmoe_gpu->unpin(h->data);
	if (rt->gpu && !h->window)
		fsmoe_gpu->free(h->fixed);
}

/* On a GPU the buffer gets its place there now, not in a step, and from us: what StarPU allocates
 * it keeps for others of the same size when the buffer goes, and a program made anew has none. */
int fsmoe_data_place(fsmoe_runtime_t rt, struct fsmoe_handle *h)
{
	int err = 0;

	if (!rt->gpu)
		h->fixed = h->data;
	else if (!h->window)
		err = fsmoe_gpu->allocate(rt->gpu, fsmoe_handle_bytes(h), (void **)&h->fixed);
	if (!err)
		err = make_known(h);
	if (!err && rt->gpu)
		err = fill(rt, h);
	if (err)
		fsmoe_data_remove(rt, h);
	return err;
}

/* --- content ------------------------------------------------------------------------------ */

/* Tasks have written what rides without StarPU's knowledge: on the GPU alone it is current. */
static void tell_starpu(struct fsmoe_program *p, fsmoe_tensor_t base)
{
	const int node = (int)gpu_node(p->runtime);

	if (!p->merged || !p->merged[base])
		return;
	starpu_data_acquire_on_node(p->handles[base]->handle, node, STARPU_RW);
	starpu_data_release_on_node(p->handles[base]->handle, node);
}

/* Numbers of a tensor straight from its place on the GPU: the host's own, of which most pages are
 * none yet, is left alone. */
static int read_gpu(struct fsmoe_program *p, fsmoe_tensor_t tensor, size_t first, size_t n,
		    void *to)
{
	const struct fsmoe_handle *h = p->handles[p->tensors[tensor].base];
	const int node = (int)gpu_node(p->runtime);
	int err;

	first += p->tensors[tensor].offset;
	starpu_data_acquire_on_node(h->handle, node, STARPU_R);
	err = h->narrow ? fsmoe_gpu->copy_bf16(h->fixed + first * sizeof(uint16_t), to, NULL, n)
			: fsmoe_gpu->read(h->fixed + first * sizeof(float), to, n * sizeof(float));
	starpu_data_release_on_node(h->handle, node);
	return err;
}

/* Whether its content need not be fetched from the GPU. */
static int is_on_host(const struct fsmoe_program *p, fsmoe_tensor_t base)
{
	int allocated, valid = 0, requested;

	if (!p->runtime->gpu)
		return 1;
	if (!p->handles[base]->narrow && !(p->merged && p->merged[base]))
		starpu_data_query_status(p->handles[base]->handle, STARPU_MAIN_RAM, &allocated,
					 &valid, &requested);
	return valid;
}

int fsmoe_data_read(struct fsmoe_program *p, fsmoe_tensor_t tensor, size_t first, size_t n,
		    void *to)
{
	const struct fsmoe_handle *h = p->handles[p->tensors[tensor].base];
	const char *data = fsmoe_memory_data(p->memory, tensor);

	if (!is_on_host(p, p->tensors[tensor].base))
		return read_gpu(p, tensor, first, n, to);
	starpu_data_acquire(h->handle, STARPU_R);
	memcpy(to, data + first * sizeof(float), n * sizeof(float));
	starpu_data_release(h->handle);
	return 0;
}

/* A bf16 tensor is written straight to its place on the GPU. */
static int write_narrow(struct fsmoe_program *p, fsmoe_tensor_t tensor, const float *from, size_t n)
{
	const struct fsmoe_handle *h = p->handles[p->tensors[tensor].base];
	const int node = (int)gpu_node(p->runtime);
	int err;

	starpu_data_acquire_on_node(h->handle, node, STARPU_RW);
	err = fsmoe_gpu->copy_bf16(h->fixed + p->tensors[tensor].offset * sizeof(uint16_t), NULL,
				   from, n);
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
	err = fsmoe_gpu->write_copy((const float *)(void *)h->fixed + offset, n,
				    (uint16_t *)h->copy + offset);
	starpu_data_release_on_node(h->handle, node);
	return err;
}

int fsmoe_data_write(struct fsmoe_program *p, fsmoe_tensor_t tensor, const void *from, size_t bytes)
{
	const struct fsmoe_handle *h = p->handles[p->tensors[tensor].base];

	if (h->narrow)
		return write_narrow(p, tensor, from, bytes / sizeof(float));
	if (p->runtime->gpu)
		tell_starpu(p, p->tensors[tensor].base);
	/* What is overwritten whole need not come from the GPU first. */
	starpu_data_acquire(h->handle, bytes == h->bytes ? STARPU_W : STARPU_RW);
	memcpy(fsmoe_memory_data(p->memory, tensor), from, bytes);
	starpu_data_release(h->handle);
	if (p->runtime->gpu)
		tell_starpu(p, p->tensors[tensor].base);
	return h->copy ? renew_copy(p, tensor, bytes / sizeof(float)) : 0;
}

/* All are on their way before the first is waited for. */
int fsmoe_data_pull(struct fsmoe_program *p, const fsmoe_tensor_t *tensors, int n)
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
			err = read_gpu(p, tensors[i], 0, fsmoe_shape_count(&t->shape),
				       fsmoe_memory_data(p->memory, tensors[i]));
		else
		{
			starpu_data_acquire(h->handle, STARPU_R);
			starpu_data_release(h->handle);
		}
	}
	return err;
}
