/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times of operations on a GPU by CUDA events, under the stream walker:
 *
 *	layer WORK [tf32|bf16] [nodes=N] [timeline]
 *
 * the work as in work.h; under mpirun every rank has a GPU and its part of the experts, and what is
 * printed is rank 0's.
 *
 * Prints per operation: how many nodes, milliseconds a step (median of the steps), share, and what
 * its row calls work per second. The line "step" is from the first node's start to the last one's
 * end with events around every node; the line "bare" without them, by the host's clock, of every
 * step the slowest rank's. With `timeline` also when every node of the last step ran.
 */
#include "base/clock.h"
#include "comm/comm.h"
#include "comm/nccl.h"
#include "gpu/device.h"
#include "tests/lib/try.h"
#include "work.h"

#include <fsmoe/op.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
	WARM = 3,
	STEPS = 11,
	KINDS = 64
};

struct place
{
	fsmoe_comms_t comms;
	struct fsmoe_device_memory *memory;
	int rank, tf32, timeline;
};

struct row
{
	const struct fsmoe_op *op;
	int nodes;
	double work, seconds[STEPS];
};

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *x)
{
	double sorted[STEPS];

	memcpy(sorted, x, sizeof(sorted));
	qsort(sorted, STEPS, sizeof(*sorted), ascending);
	return sorted[STEPS / 2];
}

static int slower(const void *a, const void *b)
{
	double x = median(((const struct row *)a)->seconds),
	       y = median(((const struct row *)b)->seconds);

	return (x < y) - (x > y);
}

static double work_of(fsmoe_graph_t graph, const struct fsmoe_node *node)
{
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(graph, &n);
	const struct fsmoe_tensor_info *tensor[node->naccess + 1];

	for (int i = 0; i < node->naccess; i++)
		tensor[i] =
			node->access[i].tensor == FSMOE_NONE ? NULL : &info[node->access[i].tensor];
	return node->op->work ? node->op->work(node->args, tensor, node->naccess) : 0;
}

static struct row *row_of(struct row *rows, int *n, const struct fsmoe_op *op)
{
	for (int i = 0; i < *n; i++)
		if (rows[i].op == op)
			return &rows[i];
	if (*n == KINDS)
	{
		fprintf(stderr, "more than %d operations\n", KINDS);
		exit(1);
	}
	rows[*n] = (struct row){.op = op};
	return &rows[(*n)++];
}

static void print_rows(struct row *rows, int n, double whole)
{
	qsort(rows, (size_t)n, sizeof(*rows), slower);
	printf("  %-32s %5s %9s %6s %10s\n", "operation", "nodes", "ms", "share", "work/s");
	for (int i = 0; i < n; i++)
	{
		double s = median(rows[i].seconds);
		int bytes = rows[i].op->kind == FSMOE_KIND_MEMORY ||
			    FSMOE_KIND_IS_COMM(rows[i].op->kind);
		printf("  %-32s %5d %9.4f %5.1f%% %8.2f %s\n", rows[i].op->name, rows[i].nodes,
		       1e3 * s, 100 * s / whole, rows[i].work / s / (bytes ? 1e9 : 1e12),
		       bytes ? "GB/s" : "TFLOP/s");
	}
}

static void print_timeline(fsmoe_graph_t graph, const struct fsmoe_timeline *t)
{
	int n;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &n);

	for (int i = 0; i < n; i++)
	{
		char label[128];
		fsmoe_node_label(&nodes[i], label, sizeof(label));
		printf("  lane %d  %9.4f to %9.4f  %8.4f ms  %s\n", (int)nodes[i].lane,
		       1e3 * t->start[i], 1e3 * t->end[i], 1e3 * (t->end[i] - t->start[i]), label);
	}
}

static void run_step(struct fsmoe_stream *stream, int k)
{
	const struct fsmoe_step step = {.step = (uint64_t)(k + WARM + 1), .lr = 1e-4};

	TRY(fsmoe_stream_submit(stream, &step));
}

/* With events around every node. */
static void time_nodes(fsmoe_graph_t graph, const struct place *at)
{
	const struct fsmoe_stream_opts opts = {.timing = 1, .tf32 = at->tf32};
	struct fsmoe_stream *stream;
	struct row rows[KINDS];
	double whole[STEPS] = {0};
	int n, nrows = 0;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &n);

	TRY(fsmoe_stream_create(&stream, graph, at->memory, at->comms, &opts));
	for (int k = -WARM; k < STEPS; k++)
	{
		struct fsmoe_timeline t;
		run_step(stream, k);
		TRY(fsmoe_stream_wait(stream));
		if (k < 0)
			continue;
		TRY(fsmoe_stream_observe(stream, &t));
		whole[k] = t.makespan;
		for (int i = 0; i < n; i++)
		{
			struct row *r = row_of(rows, &nrows, nodes[i].op);
			r->seconds[k] += t.end[i] - t.start[i];
			r->nodes += k == 0;
			r->work += k == 0 ? work_of(graph, &nodes[i]) : 0;
		}
		if (k == STEPS - 1 && at->timeline && at->rank == 0)
			print_timeline(graph, &t);
		fsmoe_timeline_destroy(&t);
	}
	if (at->rank == 0)
	{
		print_rows(rows, nrows, median(whole));
		printf("  %-32s %5d %9.4f\n", "step", n, 1e3 * median(whole));
	}
	fsmoe_stream_destroy(stream);
}

static double slowest(const struct place *at, double seconds)
{
	struct fsmoe_comm *world = fsmoe_comms_get(at->comms, FSMOE_GROUP_WORLD);
	double all[world->size];

	TRY(fsmoe_comm_allgather(world, &seconds, all, sizeof(seconds)));
	for (int r = 0; r < world->size; r++)
		seconds = all[r] > seconds ? all[r] : seconds;
	return seconds;
}

static void time_bare(fsmoe_graph_t graph, const struct place *at)
{
	const struct fsmoe_stream_opts opts = {.tf32 = at->tf32};
	struct fsmoe_stream *stream;
	double whole[STEPS], submit[STEPS];

	TRY(fsmoe_stream_create(&stream, graph, at->memory, at->comms, &opts));
	for (int k = -WARM; k < STEPS; k++)
	{
		TRY(fsmoe_comm_barrier(fsmoe_comms_get(at->comms, FSMOE_GROUP_WORLD)));
		double start = fsmoe_clock();
		run_step(stream, k);
		double middle = fsmoe_clock();
		TRY(fsmoe_stream_wait(stream));
		double seconds = slowest(at, fsmoe_clock() - start);
		if (k < 0)
			continue;
		whole[k] = seconds;
		submit[k] = middle - start;
	}
	if (at->rank == 0)
	{
		printf("  %-32s %5s %9.4f  (the host enqueued for %.4f)\n", "bare", "",
		       1e3 * median(whole), 1e3 * median(submit));
		printf("  device memory: %zu MiB of tensors, %zu MiB of scratch\n",
		       fsmoe_device_memory_bytes(at->memory) >> 20,
		       fsmoe_stream_bytes(stream) >> 20);
	}
	fsmoe_stream_destroy(stream);
}

static void measure(fsmoe_groups_t groups, int argc, char **argv, struct place *at,
		    enum fsmoe_real real)
{
	struct work work;

	work_create(&work, groups, argc, argv);
	TRY(fsmoe_comms_create(&at->comms, groups));
	TRY(fsmoe_device_memory_create_as(&at->memory, work.step.graph,
					  at->rank % fsmoe_device_count(), real));
	TRY(fsmoe_nccl_comms_create(at->comms, "default"));
	TRY(fsmoe_device_memory_upload(at->memory, work.memory));
	if (at->rank == 0)
		printf("%s, %s, %d ranks\n", work.name,
		       at->tf32             ? "TF32"
		       : real == FSMOE_BF16 ? "bf16"
					    : "fp32",
		       fsmoe_comms_get(at->comms, FSMOE_GROUP_WORLD)->size);
	time_nodes(work.step.graph, at);
	time_bare(work.step.graph, at);
	fsmoe_device_memory_destroy(at->memory);
	fsmoe_nccl_comms_destroy(at->comms);
	fsmoe_comms_destroy(at->comms);
	work_destroy(&work);
}

int main(int argc, char **argv)
{
	struct place at = {0};
	int bf16 = 0, nodes = 0;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;

	for (; argc > 1; argc--)
	{
		const char *last = argv[argc - 1];
		if (!strcmp(last, "tf32"))
			at.tf32 = 1;
		else if (!strcmp(last, "bf16"))
			bf16 = 1;
		else if (!strcmp(last, "timeline"))
			at.timeline = 1;
		else if (sscanf(last, "nodes=%d", &nodes) != 1)
			break;
	}
	if (work_arguments(argc - 1, argv + 1) != argc - 1)
	{
		fprintf(stderr, "usage: layer (M H E k f T [mixtral] [cuts=F/B] [schedule=NAME] | "
				"PRESET BATCH) [tf32|bf16] [nodes=N] [timeline]\n");
		return 64;
	}
	if (fsmoe_device_count() == 0)
	{
		printf("layer: skipped, there is no GPU here\n");
		return 77;
	}
	TRY(fsmoe_topo_create(&topo, NULL, nodes));
	at.rank = fsmoe_topo_rank(topo);
	TRY(fsmoe_groups_create(&groups, topo,
				&(struct fsmoe_layout){.dp = fsmoe_topo_ranks(topo),
						       .tp = 1,
						       .ep = fsmoe_topo_ranks(topo),
						       .esp = 1}));
	measure(groups, argc - 1, argv + 1, &at, bf16 ? FSMOE_BF16 : FSMOE_F32);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return 0;
}
