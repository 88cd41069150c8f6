/* SPDX-License-Identifier: Apache-2.0 */
#include "train/memory_estimate.h"

#include "graph/memory.h"
#include "topo/topo.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>

/* A rank's memory before its first tensor: code, MPI's buffers, StarPU, BLAS' work space. */
static const size_t base_bytes = (size_t)64 << 20;
/* With a GPU most of it is CUDA's libraries: 2.3 GiB were seen with CUDA 13 on an H100. */
static const size_t gpu_base_bytes = (size_t)2300 << 20;

/* Reads the number of a line "MemAvailable:  123 kB", or of a file that holds nothing else. */
static size_t read_number(const char *path, const char *format)
{
	FILE *file = fopen(path, "re");
	unsigned long long value = 0;
	char line[256];

	while (file && !value && fgets(line, sizeof(line), file))
		if (sscanf(line, format, &value) != 1)
			value = 0;
	if (file)
		fclose(file);
	return (size_t)value;
}

/* Memory that is left of the machine, or of a container's limit. Pages of files count as used
 * there, but can be reclaimed. */
static size_t available(void)
{
	static const struct
	{
		const char *limit, *used, *stat, *files;
	} groups[] = {
		{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current",
		 "/sys/fs/cgroup/memory.stat", "file %llu"},
		{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
		 "/sys/fs/cgroup/memory/memory.usage_in_bytes", "/sys/fs/cgroup/memory/memory.stat",
		 "total_cache %llu"},
	};
	size_t left = read_number("/proc/meminfo", "MemAvailable: %llu kB") * 1024;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
	{
		const size_t limit = read_number(groups[i].limit, "%llu"),
			     used = read_number(groups[i].used, "%llu"),
			     files = read_number(groups[i].stat, groups[i].files);

		if (limit + files > used && limit + files - used < left && limit > 0)
			left = limit + files - used;
	}
	return left;
}

/* Bytes of a tensor in the host's memory; arg: whether activations lie on a GPU. */
static size_t host_bytes(const struct fsmoe_tensor_info *tensor, void *arg)
{
	const int *on_gpu = arg;

	if (tensor->role == FSMOE_ACTIVATION && *on_gpu)
		return 0;
	return fsmoe_shape_count(&tensor->shape) * fsmoe_element_bytes(FSMOE_F32, tensor->dtype);
}

void fsmoe_host_memory_estimate(struct fsmoe_host_memory *memory, const fsmoe_graph_t *graphs,
				int n, int on_gpu)
{
	fsmoe_groups_t groups = fsmoe_graph_groups(graphs[0]);
	const fsmoe_topo_t topo = groups ? fsmoe_groups_topo(groups) : NULL;
	const size_t ranks = topo ? (size_t)fsmoe_topo_host_size(topo) : 1;

	*memory = (struct fsmoe_host_memory){.available = available()};
	for (int i = 0; i < n; i++)
		memory->rank += fsmoe_graph_bytes(graphs[i], i > 0, host_bytes, &on_gpu);
	memory->host = ranks * (memory->rank + (on_gpu ? gpu_base_bytes : base_bytes));
}

int fsmoe_host_memory_check(const struct fsmoe_host_memory *memory)
{
	if (!memory->available || memory->host <= memory->available)
		return 0;
	return fsmoe_fail(ENOMEM,
			  "the ranks of this host take %s of its memory, of which %s is left: make "
			  "--global-batch, --seq-length or the model smaller, or use more hosts",
			  fsmoe_memory_text(memory->host).text,
			  fsmoe_memory_text(memory->available).text);
}

int fsmoe_gpu_memory_check(const struct fsmoe_gpu_memory *memory)
{
	if (memory->need <= memory->left)
		return 0;
	return fsmoe_fail(ENOMEM,
			  "this takes %s of GPU %d, which has %s left of %s: make --global-batch, "
			  "--seq-length or the model smaller, or use --dtype bf16 or more GPUs",
			  fsmoe_memory_text(memory->need).text, memory->gpu,
			  fsmoe_memory_text(memory->left).text,
			  fsmoe_memory_text(memory->all).text);
}

struct fsmoe_memory_text fsmoe_memory_text(size_t bytes)
{
	static const char *const unit[] = {"kB", "MB", "GB", "TB", "PB"};
	struct fsmoe_memory_text t;
	double value = 1e-3 * (double)bytes;
	int i = 0;

	for (; value >= 999.5 && i < 4; i++)
		value *= 1e-3;
	snprintf(t.text, sizeof(t.text), "%.3g %s", value, unit[i]);
	return t;
}
