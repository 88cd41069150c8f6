/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times of operations on one GPU by CUDA events, under the stream walker: layer WORK
 * [tf32|bf16], the work as in work.h.
 *
 * Prints per operation: how many nodes, milliseconds a step (median of the steps), share, and what
 * its row calls work per second. The line "step" is from the first node's start to the last one's
 * end with events around every node; the line "bare" without them, by the host's clock.
 */
#include "base/clock.h"
#include "runtime/device.h"
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

/* With events around every node. */
static void time_nodes(fsmoe_graph_t graph, struct fsmoe_device_memory *memory, int tf32)
{
	const struct fsmoe_stream_opts opts = {.timing = 1, .tf32 = tf32};
	struct fsmoe_stream *stream;
	struct row rows[KINDS];
	double whole[STEPS] = {0};
	int n, nrows = 0;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &n);

	TRY(fsmoe_stream_create(&stream, graph, memory, NULL, &opts));
	for (int k = -WARM; k < STEPS; k++)
	{
		struct fsmoe_timeline t;
		TRY(fsmoe_stream_submit(
			stream,
			&(struct fsmoe_step){.step = (uint64_t)(k + WARM + 1), .lr = 1e-4}));
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
		fsmoe_timeline_destroy(&t);
	}
	print_rows(rows, nrows, median(whole));
	printf("  %-32s %5d %9.4f\n", "step", n, 1e3 * median(whole));
	fsmoe_stream_destroy(stream);
}

static void time_bare(fsmoe_graph_t graph, struct fsmoe_device_memory *memory, int tf32)
{
	const struct fsmoe_stream_opts opts = {.tf32 = tf32};
	struct fsmoe_stream *stream;
	double whole[STEPS], submit[STEPS];

	TRY(fsmoe_stream_create(&stream, graph, memory, NULL, &opts));
	for (int k = -WARM; k < STEPS; k++)
	{
		double start = fsmoe_clock();
		TRY(fsmoe_stream_submit(
			stream,
			&(struct fsmoe_step){.step = (uint64_t)(k + WARM + 1), .lr = 1e-4}));
		double middle = fsmoe_clock();
		TRY(fsmoe_stream_wait(stream));
		if (k < 0)
			continue;
		whole[k] = fsmoe_clock() - start;
		submit[k] = middle - start;
	}
	printf("  %-32s %5s %9.4f  (the host enqueued for %.4f)\n", "bare", "", 1e3 * median(whole),
	       1e3 * median(submit));
	printf("  device memory: %zu MiB of tensors, %zu MiB of scratch\n",
	       fsmoe_device_memory_bytes(memory) >> 20, fsmoe_stream_bytes(stream) >> 20);
	fsmoe_stream_destroy(stream);
}

int main(int argc, char **argv)
{
	const char *last = argc > 1 ? argv[argc - 1] : "";
	int tf32 = !strcmp(last, "tf32"), bf16 = !strcmp(last, "bf16"), n = argc - 1 - tf32 - bf16;
	struct fsmoe_device_memory *gpu;
	struct work work;

	if (work_arguments(n, argv + 1) != n)
	{
		fprintf(stderr,
			"usage: layer (M H E k f T [mixtral] | PRESET BATCH) [tf32|bf16]\n");
		return 64;
	}
	if (fsmoe_device_count() == 0)
	{
		printf("layer: skipped, there is no GPU here\n");
		return 77;
	}
	work_create(&work, NULL, n, argv + 1);
	TRY(fsmoe_device_memory_create_as(&gpu, work.step.graph, 0, bf16 ? FSMOE_BF16 : FSMOE_F32));
	TRY(fsmoe_device_memory_upload(gpu, work.memory));
	printf("%s, %s\n", work.name, tf32 ? "TF32" : bf16 ? "bf16" : "fp32");
	time_nodes(work.step.graph, gpu, tf32);
	time_bare(work.step.graph, gpu, tf32);
	fsmoe_device_memory_destroy(gpu);
	work_destroy(&work);
	return 0;
}
