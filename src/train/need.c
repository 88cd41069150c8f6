/* SPDX-License-Identifier: Apache-2.0 */
#include "train/need.h"

#include "graph/memory.h"
#include "step/step.h"
#include "topo/topo.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>

/* What a rank takes before its first tensor: code, MPI's buffers, StarPU, BLAS' work space. */
static const size_t base_bytes = (size_t)64 << 20;

static size_t graph_bytes(fsmoe_graph_t graph, int persistent_too)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(graph, &n);
	size_t bytes = 0;

	for (int i = 0; i < n; i++)
		if (t[i].base == i &&
		    (persistent_too || t[i].role == FSMOE_ACTIVATION || t[i].role == FSMOE_INPUT))
			bytes += fsmoe_shape_count(&t[i].shape) *
				 fsmoe_element_bytes(FSMOE_F32, t[i].dtype);
	return bytes;
}

static int eval_bytes(fsmoe_groups_t groups, fsmoe_forward_fn forward, void *arg,
		      const struct fsmoe_batch_spec *step, size_t *bytes)
{
	const size_t rows = (size_t)step->sequences *
			    (size_t)(step->seq / fsmoe_group_size(groups, FSMOE_GROUP_MP));
	struct fsmoe_batch_spec batch = *step;
	fsmoe_graph_t graph;
	int err = fsmoe_graph_create(&graph, groups);

	if (err)
		return err;
	batch.tokens = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(rows), "tokens");
	batch.targets = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(rows), "targets");
	forward(graph, &batch, arg);
	err = fsmoe_graph_status(graph);
	if (!err)
		*bytes = graph_bytes(graph, 0);
	fsmoe_graph_destroy(graph);
	return err;
}

/* The number in a line "MemAvailable:  123 kB", or of a file that holds nothing else. */
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

/* What is left of the machine, or of what a container may take of it: pages of files, which count
 * as used there, can be had. */
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

int fsmoe_need_estimate(fsmoe_groups_t groups, fsmoe_forward_fn forward, void *arg, void *eval_arg,
			const struct fsmoe_train_opts *opts, struct fsmoe_need *need)
{
	const fsmoe_topo_t topo = groups ? fsmoe_groups_topo(groups) : NULL;
	struct fsmoe_step_graph step;
	size_t eval = 0, ranks = topo ? (size_t)fsmoe_topo_host_size(topo) : 1;
	int err = fsmoe_step_create(&step, groups, forward, arg, opts);

	if (err)
		return err;
	err = eval_bytes(groups, forward, eval_arg, &step.batch[0], &eval);
	if (!err)
	{
		const size_t rank = graph_bytes(step.graph, 1) + eval;

		*need = (struct fsmoe_need){.rank = rank,
					    .host = ranks * (rank + base_bytes),
					    .available = available()};
	}
	fsmoe_step_destroy(&step);
	return err;
}

const char *fsmoe_need_text(size_t bytes, char *buffer, size_t size)
{
	static const char *const unit[] = {"kB", "MB", "GB", "TB", "PB"};
	double value = 1e-3 * (double)bytes;
	int i = 0;

	for (; value >= 999.5 && i < 4; i++)
		value *= 1e-3;
	snprintf(buffer, size, "%.3g %s", value, unit[i]);
	return buffer;
}

int fsmoe_need_check(const struct fsmoe_need *need)
{
	char host[32], available_text[32];

	if (!need->available || need->host <= need->available)
		return 0;
	return fsmoe_fail(ENOMEM,
			  "this training takes %s on this host, which has %s left: make --batch, "
			  "--seq or the model smaller, or use "
			  "more hosts",
			  fsmoe_need_text(need->host, host, sizeof(host)),
			  fsmoe_need_text(need->available, available_text, sizeof(available_text)));
}
