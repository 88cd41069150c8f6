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
/* The same with a GPU, most of it CUDA's libraries: 2.3 GiB were seen with CUDA 13 on an H100. */
static const size_t gpu_base_bytes = (size_t)2300 << 20;

static size_t graph_bytes(fsmoe_graph_t graph, int persistent_too, int activations_too)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(graph, &n);
	size_t bytes = 0;

	for (int i = 0; i < n; i++)
		if (t[i].base == i && (t[i].role == FSMOE_ACTIVATION ? activations_too
				       : t[i].role == FSMOE_INPUT    ? 1
								     : persistent_too))
			bytes += fsmoe_shape_count(&t[i].shape) *
				 fsmoe_element_bytes(FSMOE_F32, t[i].dtype);
	return bytes;
}

/* What is to be run: a step, and an evaluation of one micro-batch. */
struct graphs
{
	struct fsmoe_step_graph step;
	fsmoe_graph_t eval;
};

static int make_eval(fsmoe_groups_t groups, fsmoe_forward_fn forward, void *arg,
		     const struct fsmoe_batch_spec *step, fsmoe_graph_t *graph)
{
	const size_t rows = (size_t)step->sequences *
			    (size_t)(step->seq_length / fsmoe_group_size(groups, FSMOE_GROUP_TP));
	struct fsmoe_batch_spec batch = *step;
	int err = fsmoe_graph_create(graph, groups);

	if (err)
		return err;
	batch.tokens = fsmoe_graph_input(*graph, FSMOE_INT32, FSMOE_SHAPE1(rows), "tokens");
	batch.targets = fsmoe_graph_input(*graph, FSMOE_INT32, FSMOE_SHAPE1(rows), "targets");
	forward(*graph, &batch, arg);
	err = fsmoe_graph_status(*graph);
	if (err)
		fsmoe_graph_destroy(*graph);
	return err;
}

static int make_graphs(fsmoe_groups_t groups, fsmoe_forward_fn forward, void *arg, void *eval_arg,
		       const struct fsmoe_train_opts *opts, struct graphs *graphs)
{
	int err = fsmoe_step_create(&graphs->step, groups, forward, arg, opts);

	if (err)
		return err;
	err = make_eval(groups, forward, eval_arg, &graphs->step.batch[0], &graphs->eval);
	if (err)
		fsmoe_step_destroy(&graphs->step);
	return err;
}

static void free_graphs(struct graphs *graphs)
{
	fsmoe_graph_destroy(graphs->eval);
	fsmoe_step_destroy(&graphs->step);
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

int fsmoe_need_estimate(fsmoe_groups_t groups, int gpu, fsmoe_forward_fn forward, void *arg,
			void *eval_arg, const struct fsmoe_train_opts *opts,
			struct fsmoe_need *need)
{
	const fsmoe_topo_t topo = groups ? fsmoe_groups_topo(groups) : NULL;
	const size_t ranks = topo ? (size_t)fsmoe_topo_host_size(topo) : 1;
	struct graphs graphs;
	size_t rank;
	int err = make_graphs(groups, forward, arg, eval_arg, opts, &graphs);

	if (err)
		return err;
	rank = graph_bytes(graphs.step.graph, 1, !gpu) + graph_bytes(graphs.eval, 0, !gpu);
	*need = (struct fsmoe_need){.rank = rank,
				    .host = ranks * (rank + (gpu ? gpu_base_bytes : base_bytes)),
				    .available = available()};
	free_graphs(&graphs);
	return 0;
}

int fsmoe_need_estimate_gpu(fsmoe_runtime_t runtime, fsmoe_forward_fn forward, void *arg,
			    void *eval_arg, const struct fsmoe_train_opts *opts,
			    struct fsmoe_gpu_memory *need)
{
	struct graphs graphs;
	int err = make_graphs(fsmoe_runtime_groups(runtime), forward, arg, eval_arg, opts, &graphs);

	if (err)
		return err;
	err = fsmoe_runtime_gpu_memory(runtime, (fsmoe_graph_t[]){graphs.step.graph, graphs.eval},
				       2, need);
	free_graphs(&graphs);
	return err;
}

int fsmoe_need_check_gpu(const struct fsmoe_gpu_memory *need)
{
	char wanted[32], left[32], all[32];

	if (need->need <= need->left)
		return 0;
	return fsmoe_fail(ENOMEM,
			  "this takes %s of GPU %d, which has %s left of %s: make --batch, "
			  "--seq or the model smaller, or use --dtype bf16 or more GPUs",
			  fsmoe_need_text(need->need, wanted, sizeof(wanted)), need->gpu,
			  fsmoe_need_text(need->left, left, sizeof(left)),
			  fsmoe_need_text(need->all, all, sizeof(all)));
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
			  "the ranks of this host take %s of its memory, of which %s is left: make "
			  "--batch, --seq or the model smaller, or use more hosts",
			  fsmoe_need_text(need->host, host, sizeof(host)),
			  fsmoe_need_text(need->available, available_text, sizeof(available_text)));
}
