/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parallel.h"
#include "base/rng.h"
#include "graph/graph.h"
#include "graph/memory.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum
{
	PARALLEL_FROM = 1 << 16 /* initial values that a thread is worth */
};

static int persistent(enum fsmoe_role role)
{
	return role == FSMOE_PARAM || role == FSMOE_GRAD || role == FSMOE_STATE;
}

static size_t room_of(size_t bytes)
{
	return (bytes + FSMOE_ALIGNMENT) / FSMOE_ALIGNMENT * FSMOE_ALIGNMENT;
}

static size_t bytes_of(const struct fsmoe_memory *m, const struct fsmoe_tensor_info *t)
{
	return fsmoe_shape_count(&t->shape) * fsmoe_element_bytes(m->real, t->dtype);
}

/* The same persistent tensor in another graph's memory: its number there, or FSMOE_NONE. */
static fsmoe_tensor_t shared(const struct fsmoe_memory *from, const struct fsmoe_tensor_info *t,
			     size_t bytes)
{
	if (!from || !persistent(t->role))
		return FSMOE_NONE;
	for (int i = 0; i < from->graph->ntensors; i++)
	{
		const struct fsmoe_tensor_info *other = &from->graph->tensors[i];
		if (other->base == i && other->role == t->role && !strcmp(other->name, t->name) &&
		    bytes_of(from, other) == bytes)
			return i;
	}
	return FSMOE_NONE;
}

/* What another memory holds; taken over where that one is to go. */
static void take_shared(struct fsmoe_memory *m, fsmoe_memory_t share, int over)
{
	for (int i = 0; share && i < m->graph->ntensors; i++)
	{
		const struct fsmoe_tensor_info *t = &m->graph->tensors[i];
		const size_t bytes = bytes_of(m, t);
		const fsmoe_tensor_t there = t->base == i ? shared(share, t, bytes) : FSMOE_NONE;

		if (there == FSMOE_NONE)
			continue;
		m->data[i] = share->data[there];
		if (over && share->owned[there])
		{
			m->owned[i] = share->owned[there];
			share->owned[there] = NULL;
			m->bytes += room_of(bytes);
		}
	}
}

/* What is large in large pages, where the system has them: first touches, which are most of what
 * filling parameters takes, are one for two MiB then. */
static void ask_large_pages(void *at, size_t bytes)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), large = (uintptr_t)4 << 20;
	const uintptr_t begin = ((uintptr_t)at + page - 1) / page * page;
	const uintptr_t end = ((uintptr_t)at + bytes) / page * page;

	if (bytes >= large)
		madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}

/* Zeros by calloc: what is large is then no memory yet but a promise of it, which a run on a GPU
 * never asks to be kept for most activations. */
static int allocate(struct fsmoe_memory *m)
{
	for (int i = 0; i < m->graph->ntensors; i++)
	{
		const struct fsmoe_tensor_info *t = &m->graph->tensors[i];
		const size_t bytes = bytes_of(m, t), room = room_of(bytes);

		if (t->base != i || m->data[i])
			continue;
		m->owned[i] = calloc(1, room + FSMOE_ALIGNMENT);
		if (!m->owned[i])
			return fsmoe_fail(
				ENOMEM,
				"no memory for tensor '%s' of %zu bytes, after %zu bytes of others",
				t->name, bytes, m->bytes);
		ask_large_pages(m->owned[i], room);
		m->data[i] = (char *)m->owned[i] + FSMOE_ALIGNMENT -
			     (uintptr_t)m->owned[i] % FSMOE_ALIGNMENT;
		m->bytes += room;
	}
	return 0;
}

/* Without any tensor yet. */
static int make(fsmoe_memory_t *memory, fsmoe_graph_t graph, enum fsmoe_real real)
{
	struct fsmoe_memory *m;
	int err = fsmoe_graph_status(graph);

	if (err)
		return err;
	if (real != FSMOE_F32 && real != FSMOE_F64)
		return fsmoe_fail(EINVAL, "a host computes in float or double; only GPUs run bf16");
	m = calloc(1, sizeof(*m));
	if (m)
	{
		m->graph = graph;
		m->real = real;
		m->data = calloc((size_t)graph->ntensors + 1, sizeof(*m->data));
		m->owned = calloc((size_t)graph->ntensors + 1, sizeof(*m->owned));
	}
	if (!m || !m->data || !m->owned)
	{
		fsmoe_memory_destroy(m);
		return fsmoe_fail(ENOMEM, "no memory for a graph's tensors");
	}
	*memory = m;
	return 0;
}

static int fill(fsmoe_memory_t *memory, struct fsmoe_memory *m)
{
	const int err = allocate(m);

	if (err)
		fsmoe_memory_destroy(m);
	else
		*memory = m;
	return err;
}

int fsmoe_memory_create(fsmoe_memory_t *memory, fsmoe_graph_t graph, enum fsmoe_real real,
			fsmoe_memory_t share)
{
	struct fsmoe_memory *m = NULL;
	const int err = make(&m, graph, real);

	if (err)
		return err;
	take_shared(m, share, 0);
	return fill(memory, m);
}

int fsmoe_memory_replace(fsmoe_memory_t *memory, fsmoe_graph_t graph, fsmoe_memory_t old)
{
	struct fsmoe_memory *m = NULL;
	const int err = make(&m, graph, old->real);

	if (!err)
		take_shared(m, old, 1);
	fsmoe_memory_destroy(old);
	return err ? err : fill(memory, m);
}

void fsmoe_memory_destroy(fsmoe_memory_t m)
{
	if (!m)
		return;
	for (int i = 0; m->owned && i < m->graph->ntensors; i++)
		free(m->owned[i]);
	free(m->data);
	free(m->owned);
	free(m);
}

void *fsmoe_memory_data(fsmoe_memory_t m, fsmoe_tensor_t tensor)
{
	const struct fsmoe_tensor_info *t;

	if (tensor == FSMOE_NONE)
		return NULL;
	t = &m->graph->tensors[tensor];
	return (char *)m->data[t->base] + fsmoe_element_bytes(m->real, t->dtype) * t->offset;
}

size_t fsmoe_memory_bytes(fsmoe_memory_t m)
{
	return m->bytes;
}

enum fsmoe_real fsmoe_memory_real(fsmoe_memory_t m)
{
	return m->real;
}

size_t fsmoe_param_run(const struct fsmoe_param_spec *spec)
{
	int d = spec->global.ndim - 1;

	return d < 0 ? 1 : spec->global.dim[d] / (size_t)(spec->parts[d] > 1 ? spec->parts[d] : 1);
}

/* Mixed radix over the dimensions, this rank's part first. */
size_t fsmoe_param_global_index(const struct fsmoe_param_spec *spec, size_t local)
{
	size_t index[FSMOE_MAX_DIMS], global = 0;

	for (int d = spec->global.ndim - 1; d >= 0; d--)
	{
		int parts = spec->parts[d] > 1 ? spec->parts[d] : 1;
		size_t here = spec->global.dim[d] / (size_t)parts;
		index[d] = local % here + here * (size_t)spec->index[d];
		local /= here;
	}
	for (int d = 0; d < spec->global.ndim; d++)
		global = global * spec->global.dim[d] + index[d];
	return global;
}

struct init
{
	const struct fsmoe_param_spec *spec;
	uint64_t key;
	enum fsmoe_real real;
	void *data;
};

static double initial(const struct fsmoe_param_spec *spec, uint64_t key, size_t global)
{
	switch (spec->init)
	{
	case FSMOE_INIT_ZERO:
		return 0.0;
	case FSMOE_INIT_ONE:
		return 1.0;
	case FSMOE_INIT_NORMAL:
		return spec->scale * fsmoe_rng_normal(key, global);
	}
	return 0.0;
}

/* Elements [lo, hi) of a parameter, or of this rank's part of it. */
static void init_part(void *arg, size_t lo, size_t hi)
{
	const struct init *x = arg;
	size_t run = fsmoe_param_run(x->spec);

	for (size_t i = lo, end; i < hi; i = end)
	{
		size_t global = fsmoe_param_global_index(x->spec, i) - i;
		end = (i / run + 1) * run < hi ? (i / run + 1) * run : hi;
		for (size_t k = i; k < end; k++)
		{
			double value = initial(x->spec, x->key, global + k);
			if (x->real == FSMOE_F64)
				((double *)x->data)[k] = value;
			else
				((float *)x->data)[k] = (float)value;
		}
	}
}

void fsmoe_memory_init_param(fsmoe_memory_t m, const struct fsmoe_param *param, uint64_t seed)
{
	struct init x = {.spec = &param->spec,
			 .key = fsmoe_rng_key(seed, param->spec.name),
			 .real = m->real,
			 .data = fsmoe_memory_data(m, param->tensor)};

	fsmoe_parallel(fsmoe_shape_count(&m->graph->tensors[param->tensor].shape), PARALLEL_FROM,
		       init_part, &x);
}

int fsmoe_memory_init_params(fsmoe_memory_t m, uint64_t seed)
{
	for (int p = 0; p < m->graph->nparams; p++)
		fsmoe_memory_init_param(m, &m->graph->params[p], seed);
	return 0;
}

size_t fsmoe_graph_bytes(fsmoe_graph_t graph, int shared,
			 size_t (*bytes)(const struct fsmoe_tensor_info *tensor, void *arg),
			 void *arg)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(graph, &n);
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		if (t[i].base == i &&
		    (!shared || t[i].role == FSMOE_ACTIVATION || t[i].role == FSMOE_INPUT))
			sum += bytes(&t[i], arg);
	return sum;
}
