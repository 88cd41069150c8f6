/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/device.h"

#include "graph/memory.h"
#include "runtime/bf16.h"
#include "gpu/device_internal.h"
#include "gpu/gpu_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

enum
{
	ALIGNMENT = 256
};

int fsmoe_device_count(void)
{
	int n = 0;

	/* Kernels that are loaded at their first launch would stop the device in a step. */
	setenv("CUDA_MODULE_LOADING", "EAGER", 0);
	return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
}

size_t fsmoe_device_tensor_bytes(const struct fsmoe_tensor_info *t)
{
	return fsmoe_shape_count(&t->shape) * fsmoe_element_bytes(FSMOE_F32, t->dtype);
}

static size_t aligned(size_t bytes)
{
	return (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
}

static size_t bytes_of(const struct fsmoe_device_memory *m, const struct fsmoe_tensor_info *t)
{
	return aligned(fsmoe_tensor_bytes(m->real, t));
}

static size_t copy_bytes(const struct fsmoe_device_memory *m, const struct fsmoe_tensor_info *t)
{
	return fsmoe_has_copy(m->real, t) ? aligned(fsmoe_shape_count(&t->shape) * sizeof(uint16_t))
					  : 0;
}

static int allocate(struct fsmoe_device_memory *m)
{
	size_t free_bytes = 0, all = 0, at = 0;

	for (int i = 0; i < m->ntensors; i++)
		if (m->tensors[i].base == i)
			m->bytes += bytes_of(m, &m->tensors[i]) + copy_bytes(m, &m->tensors[i]);
	cudaMemGetInfo(&free_bytes, &all);
	if (cudaMalloc((void **)&m->arena, m->bytes + ALIGNMENT) != cudaSuccess)
	{
		cudaGetLastError();
		return fsmoe_fail(ENOMEM,
				  "the graph's tensors need %zu MiB on GPU %d, of whose %zu MiB "
				  "%zu are free; a smaller batch or more ranks may help",
				  m->bytes >> 20, m->device, all >> 20, free_bytes >> 20);
	}
	for (int i = 0; i < m->ntensors; i++)
	{
		if (m->tensors[i].base != i)
			continue;
		m->at[i] = m->arena + at;
		at += bytes_of(m, &m->tensors[i]);
		m->copy[i] = copy_bytes(m, &m->tensors[i]) ? m->arena + at : NULL;
		at += copy_bytes(m, &m->tensors[i]);
	}
	return fsmoe_device_memory_fill(m, 0);
}

int fsmoe_device_memory_wrap(struct fsmoe_device_memory **memory, fsmoe_graph_t graph, int device,
			     enum fsmoe_real real, char **at, char **copy)
{
	struct fsmoe_device_memory *m = at && copy ? calloc(1, sizeof(*m)) : NULL;

	if (!m)
	{
		free(at);
		free(copy);
		return fsmoe_fail(ENOMEM, "no memory for a graph's tensors");
	}
	m->device = device;
	m->tensors = fsmoe_graph_tensors(graph, &m->ntensors);
	m->real = real;
	m->at = at;
	m->copy = copy;
	*memory = m;
	return 0;
}

int fsmoe_device_memory_create(struct fsmoe_device_memory **memory, fsmoe_graph_t graph, int device)
{
	return fsmoe_device_memory_create_as(memory, graph, device, FSMOE_F32);
}

int fsmoe_device_memory_create_as(struct fsmoe_device_memory **memory, fsmoe_graph_t graph,
				  int device, enum fsmoe_real real)
{
	struct fsmoe_device_memory *m;
	int n = fsmoe_device_count(), ntensors, err = fsmoe_graph_status(graph);

	if (!err && real == FSMOE_BF16)
		err = fsmoe_bf16_check(graph);
	if (err)
		return err;
	if (device < 0 || device >= n)
		return fsmoe_fail(ENODEV, "GPU %d is asked for, but there are %d", device, n);
	err = fsmoe_cuda_check(cudaSetDevice(device), "choosing the device");
	fsmoe_graph_tensors(graph, &ntensors);
	if (!err)
		err = fsmoe_device_memory_wrap(&m, graph, device, real,
					       calloc((size_t)ntensors + 1, sizeof(*m->at)),
					       calloc((size_t)ntensors + 1, sizeof(*m->copy)));
	if (err)
		return err;
	err = allocate(m);
	if (err)
	{
		fsmoe_device_memory_destroy(m);
		return err;
	}
	*memory = m;
	return 0;
}

void fsmoe_device_memory_destroy(struct fsmoe_device_memory *m)
{
	if (!m)
		return;
	cudaFree(m->arena);
	free(m->at);
	free(m->copy);
	free(m);
}

void *fsmoe_device_memory_data(struct fsmoe_device_memory *m, fsmoe_tensor_t tensor)
{
	const struct fsmoe_tensor_info *t;

	if (tensor == FSMOE_NONE)
		return NULL;
	t = &m->tensors[tensor];
	return m->at[t->base] + fsmoe_tensor_element(m->real, t) * t->offset;
}

void *fsmoe_device_memory_copy(struct fsmoe_device_memory *m, fsmoe_tensor_t tensor)
{
	const struct fsmoe_tensor_info *t = tensor == FSMOE_NONE ? NULL : &m->tensors[tensor];

	return t && m->copy[t->base] ? m->copy[t->base] + sizeof(uint16_t) * t->offset : NULL;
}

size_t fsmoe_device_memory_bytes(struct fsmoe_device_memory *m)
{
	return m->bytes;
}

int fsmoe_device_memory_fill(struct fsmoe_device_memory *m, int byte)
{
	int err = fsmoe_cuda_check(cudaMemset(m->arena, byte, m->bytes), "filling memory");

	return err ? err : fsmoe_cuda_check(cudaDeviceSynchronize(), "filling memory");
}

static int is_bf16(const struct fsmoe_device_memory *m, fsmoe_tensor_t tensor)
{
	return fsmoe_tensor_real(m->real, &m->tensors[tensor]) == FSMOE_BF16;
}

int fsmoe_device_memory_read_part(struct fsmoe_device_memory *m, fsmoe_tensor_t tensor,
				  size_t first, size_t n, void *data)
{
	char *at = (char *)fsmoe_device_memory_data(m, tensor) +
		   first * fsmoe_tensor_element(m->real, &m->tensors[tensor]);

	return is_bf16(m, tensor) ? fsmoe_gpu_copy_bf16(at, data, NULL, n)
				  : fsmoe_gpu_read(at, data, n * sizeof(float));
}

int fsmoe_device_memory_read(struct fsmoe_device_memory *m, fsmoe_tensor_t tensor, void *data,
			     size_t bytes)
{
	return fsmoe_device_memory_read_part(m, tensor, 0, bytes / sizeof(float), data);
}

/* A copy from pageable memory may return while the last of it is still on its way, and the lanes'
 * streams do not wait for the default one. */
int fsmoe_device_memory_write(struct fsmoe_device_memory *m, fsmoe_tensor_t tensor,
			      const void *data, size_t bytes)
{
	void *to = fsmoe_device_memory_data(m, tensor), *copy = fsmoe_device_memory_copy(m, tensor);
	int err;

	if (is_bf16(m, tensor))
		err = fsmoe_gpu_copy_bf16(to, NULL, data, bytes / sizeof(float));
	else
		err = fsmoe_gpu_write(to, data, bytes);
	if (copy && !err)
		err = fsmoe_gpu_write_copy(to, bytes / sizeof(float), copy);
	return err ? err
		   : fsmoe_cuda_check(cudaStreamSynchronize(NULL), "copying a tensor to the GPU");
}

static int is_float(fsmoe_memory_t memory)
{
	return fsmoe_memory_real(memory) == FSMOE_F32
		       ? 0
		       : fsmoe_fail(EINVAL, "a GPU's memory is float, this host memory is double");
}

int fsmoe_device_memory_upload(struct fsmoe_device_memory *m, fsmoe_memory_t from)
{
	int err = is_float(from);

	for (int i = 0; i < m->ntensors && !err; i++)
		if (m->tensors[i].base == i && m->tensors[i].role != FSMOE_ACTIVATION)
			err = fsmoe_device_memory_write(m, i, fsmoe_memory_data(from, i),
							fsmoe_device_tensor_bytes(&m->tensors[i]));
	return err;
}

int fsmoe_device_memory_download(struct fsmoe_device_memory *m, fsmoe_memory_t to)
{
	int err = is_float(to);

	for (int i = 0; i < m->ntensors && !err; i++)
		if (m->tensors[i].base == i)
			err = fsmoe_device_memory_read(m, i, fsmoe_memory_data(to, i),
						       fsmoe_device_tensor_bytes(&m->tensors[i]));
	return err;
}
