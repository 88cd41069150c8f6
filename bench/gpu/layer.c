/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times of operations on one GPU by CUDA events, under the stream walker: one Mixture-of-Experts
 * layer between an embedding and a loss, or a training step of a preset.
 *
 *	layer M H E k f T [tf32]    model and hidden dimension, experts, choices, capacity factor,
 *	                            tokens; forward and backward
 *	layer PRESET BATCH [tf32]   a training step
 *
 * Prints per operation: how many nodes, milliseconds a step (median of the steps), share, and what
 * its row calls work per second. The line "step" is from the first node's start to the last one's
 * end with events around every node; the line "bare" without them, by the host's clock.
 */
#include "base/clock.h"
#include "runtime/device.h"
#include "step/step.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <fsmoe/op.h>
#include <fsmoe/ops.h>
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

static void fill_tokens(fsmoe_memory_t memory, fsmoe_tensor_t tensor, size_t n, int vocab)
{
	int32_t *x = fsmoe_memory_data(memory, tensor);

	for (size_t i = 0; i < n; i++)
		x[i] = (int32_t)((i * 2654435761u >> 7) % (unsigned)vocab);
}

static void upload(fsmoe_memory_t memory, struct fsmoe_device_memory *gpu)
{
	TRY(fsmoe_memory_init_params(memory, 1));
	TRY(fsmoe_device_memory_upload(gpu, memory));
}

static void bench_layer(char **argv, int tf32)
{
	size_t M = strtoul(argv[1], NULL, 10), H = strtoul(argv[2], NULL, 10);
	size_t T = strtoul(argv[6], NULL, 10), V = 256;
	const struct fsmoe_moe_spec spec = {.name = "moe",
					    .experts = atoi(argv[3]),
					    .topk = atoi(argv[4]),
					    .model_dim = M,
					    .hidden = H,
					    .capacity_factor = atof(argv[5]),
					    .init_scale = 0.02,
					    .output_scale = 0.02};
	const struct fsmoe_param_spec table = {.name = "table",
					       .global = FSMOE_SHAPE2(V, M),
					       .init = FSMOE_INIT_NORMAL,
					       .scale = 1};
	struct fsmoe_device_memory *gpu;
	fsmoe_memory_t memory;
	fsmoe_graph_t graph;

	TRY(fsmoe_graph_create(&graph, NULL));
	fsmoe_tensor_t tokens = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(T), "tokens");
	fsmoe_tensor_t targets = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(T), "targets");
	fsmoe_tensor_t x =
		fsmoe_embedding(graph, tokens, fsmoe_graph_param(graph, &table), FSMOE_NONE, 0, 0);
	fsmoe_tensor_t y = fsmoe_moe(graph, x, &spec);
	fsmoe_graph_backward(graph, fsmoe_cross_entropy(graph, y, targets, 1.0 / (double)T));
	TRY(fsmoe_memory_create(&memory, graph, FSMOE_F32, NULL));
	TRY(fsmoe_device_memory_create(&gpu, graph, 0));
	fill_tokens(memory, tokens, T, (int)V);
	fill_tokens(memory, targets, T, (int)(V < M ? V : M)); /* y is taken for logits */
	upload(memory, gpu);
	fsmoe_memory_destroy(memory);
	printf("layer M %zu H %zu E %d k %d f %g, %zu tokens, %s\n", M, H, spec.experts, spec.topk,
	       spec.capacity_factor, T, tf32 ? "TF32" : "fp32");
	time_nodes(graph, gpu, tf32);
	time_bare(graph, gpu, tf32);
	fsmoe_device_memory_destroy(gpu);
	fsmoe_graph_destroy(graph);
}

static void bench_preset(char **argv, int tf32)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_step_graph s;
	struct fsmoe_device_memory *gpu;
	fsmoe_memory_t memory;

	TRY(fsmoe_model_spec_init(&spec, argv[1]));
	fsmoe_train_opts_init(&opts);
	opts.batch = atoi(argv[2]);
	opts.seq = spec.seq;
	TRY(fsmoe_step_create(&s, NULL, fsmoe_model_forward, &spec, &opts));
	TRY(fsmoe_memory_create(&memory, s.graph, FSMOE_F32, NULL));
	TRY(fsmoe_device_memory_create(&gpu, s.graph, 0));
	for (int i = 0; i < s.microbatches; i++)
	{
		size_t rows = (size_t)s.batch[i].sequences * (size_t)opts.seq;
		fill_tokens(memory, s.batch[i].tokens, rows, spec.vocab);
		fill_tokens(memory, s.batch[i].targets, rows, spec.vocab);
	}
	upload(memory, gpu);
	fsmoe_memory_destroy(memory);
	printf("training step of preset %s, %d sequences of %d tokens, %s\n", argv[1], opts.batch,
	       opts.seq, tf32 ? "TF32" : "fp32");
	time_nodes(s.graph, gpu, tf32);
	time_bare(s.graph, gpu, tf32);
	fsmoe_device_memory_destroy(gpu);
	fsmoe_step_destroy(&s);
}

int main(int argc, char **argv)
{
	int tf32 = argc > 1 && !strcmp(argv[argc - 1], "tf32");

	if (argc - tf32 != 7 && argc - tf32 != 3)
	{
		fprintf(stderr, "usage: layer M H E k f T [tf32] | layer PRESET BATCH [tf32]\n");
		return 64;
	}
	if (fsmoe_device_count() == 0)
	{
		printf("layer: skipped, there is no GPU here\n");
		return 77;
	}
	if (argc - tf32 == 7)
		bench_layer(argv, tf32);
	else
		bench_preset(argv, tf32);
	return 0;
}
