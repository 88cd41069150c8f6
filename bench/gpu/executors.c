/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the cost of StarPU: the same graph is submitted to StarPU and to bare CUDA streams, in
 * turns.
 *
 *	executors [OPTION...]     the options of `fsmoe bench layer`, --preset and --settings
 *
 * The graph is one MoE layer between an embedding and a loss, or a training step (--preset). A pair
 * is STEPS steps each way, every step waited for; the first of a pair alternates. For each setting
 * it prints tasks per step, the median milliseconds of a step both ways, the median, the quartiles
 * and the extremes of the pairs' ratios, and the mean milliseconds of a step's submission both
 * ways. Times are those of the slowest rank. Under mpirun every rank has a GPU.
 */
#include "base/clock.h"
#include "base/option_rows.h"
#include "bench/layer.h"
#include "bench/noise.h"
#include "bench/schedule.h"
#include "comm/comm.h"
#include "measure/samples.h"
#include "gpu/device.h"
#include "runtime/gpu_ops.h"
#include "runtime/runtime_internal.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <string.h>

enum
{
	WARMUP = 3,
	PAIRS = 21,
	STEPS = 5
};

struct harness
{
	struct fsmoe_bench_opts opts; /* first: the options of `fsmoe bench layer` */
	const char *preset;
	int settings;
	struct fsmoe_bench bench;
	struct fsmoe_step_graph step; /* of a layer its graph alone */
	fsmoe_memory_t memory;
};

/* Settings of struct fsmoe_runtime_opts, the default first. */
static const struct setting
{
	int fuse, early_release;
} settings[] = {{2, 1}, {1, 0}, {0, 0}, {0, 1}, {1, 1}};

#define AT(field) offsetof(struct harness, field)
static const struct fsmoe_option own_options[] = {
	TEXT("preset", preset, "NAME",
	     "A training step of this preset instead of a layer; --batch counts all ranks"),
	INT("settings", settings, 1, sizeof(settings) / sizeof(settings[0]),
	    "How many of: chains 2 ahead (the default on GPUs), chains 1, chains 0, chains 0 "
	    "ahead, "
	    "chains 1 ahead"),
	{.type = FSMOE_OPTION_END},
};

static int read_options(struct harness *h, int argc, char **argv)
{
	struct fsmoe_option *all, *more;
	int n = 0, err;

	fsmoe_bench_opts_init(&h->opts);
	h->opts.train.runtime.device = "cuda";
	h->settings = 2;
	TRY(fsmoe_options_flat(&all, fsmoe_bench_options));
	while (all[n].type != FSMOE_OPTION_END)
		n++;
	more = realloc(all, (size_t)n * sizeof(*all) + sizeof(own_options));
	TRY(more ? 0 : -1);
	memcpy(more + n, own_options, sizeof(own_options));
	err = fsmoe_options_parse(more, argc, argv, h);
	if (err == FSMOE_OPTIONS_HELP)
		fsmoe_options_help(more, "executors", "StarPU and streams in turns", h, 1, stdout);
	free(more);
	return err ? err : fsmoe_bench_opts_check(&h->opts);
}

/* --- the graph ------------------------------------------------------------------------------ */

static void fill_tokens(const struct harness *h, fsmoe_tensor_t tensor, int vocab)
{
	int n;
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(h->step.graph, &n);
	const size_t count = fsmoe_shape_count(&info[tensor].shape);
	int32_t *x = fsmoe_memory_data(h->memory, tensor);

	for (size_t i = 0; i < count; i++)
		x[i] = (int32_t)((i * 2654435761u >> 7) % (unsigned)vocab);
}

/* Noise: to draw normal deviates takes longer than to measure. */
static void fill_params(const struct harness *h)
{
	int nparams, n;
	const struct fsmoe_param *param = fsmoe_graph_params(h->step.graph, &nparams);
	const struct fsmoe_tensor_info *info = fsmoe_graph_tensors(h->step.graph, &n);

	for (int k = 0; k < nparams; k++)
		if (param[k].spec.init == FSMOE_INIT_NORMAL)
			fsmoe_noise_fill(fsmoe_memory_data(h->memory, param[k].tensor),
					 fsmoe_shape_count(&info[param[k].tensor].shape),
					 (uint64_t)k + 1, param[k].spec.scale);
}

static void create_layer(struct harness *h)
{
	const size_t T = h->bench.tokens, M = h->bench.spec.hidden_size, V = 256;
	struct fsmoe_moe_spec spec = h->bench.spec;
	const struct fsmoe_param_spec table = {.name = "table",
					       .global = FSMOE_SHAPE2(V, M),
					       .init = FSMOE_INIT_NORMAL,
					       .scale = 1};
	fsmoe_graph_t graph;
	fsmoe_tensor_t tokens, targets, x, y;

	spec.init_scale = spec.output_scale = 0.02;
	spec.expert_opts.no_bias = 0;
	TRY(fsmoe_graph_create(&graph, h->bench.groups));
	if (*h->bench.schedule.name)
		TRY(fsmoe_graph_set_schedule(graph, &h->bench.schedule));
	tokens = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(T), "tokens");
	targets = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(T), "targets");
	x = fsmoe_embedding(graph, tokens, fsmoe_graph_param(graph, &table), FSMOE_NONE, 0, 0);
	y = fsmoe_moe(graph, x, &spec);
	h->step.loss = fsmoe_cross_entropy(graph, y, targets, 1.0 / (double)T);
	fsmoe_graph_backward(graph, h->step.loss);
	h->step.graph = graph;
	TRY(fsmoe_memory_create(&h->memory, graph, FSMOE_F32, NULL));
	fill_tokens(h, tokens, (int)V);
	fill_tokens(h, targets, (int)(V < M ? V : M)); /* y is taken for logits */
	fill_params(h);
}

static void create_step(struct harness *h)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;

	TRY(fsmoe_model_spec_init(&spec, h->preset));
	fsmoe_train_opts_init(&opts);
	opts.global_batch = h->opts.train.train.global_batch;
	opts.seq_length = spec.seq_length;
	TRY(fsmoe_step_create(&h->step, h->bench.groups, fsmoe_model_as_forward(&spec), &opts));
	TRY(fsmoe_memory_create(&h->memory, h->step.graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(h->memory, 1));
	fsmoe_bench_fill_tokens(&h->step, h->memory, h->bench.rank, spec.vocab_size);
}

static void print_name(const struct harness *h)
{
	const struct fsmoe_model_spec *m = &h->opts.train.model;

	if (h->bench.rank)
		return;
	if (h->preset)
		printf("training step of preset %s, %d sequences", h->preset,
		       h->opts.train.train.global_batch);
	else
		printf("%s layer M %d H %d E %d k %d f %g, %zu tokens, degrees %d/%d, schedule %s",
		       m->expert, m->hidden_size, m->ffn_size, m->experts, m->top_k,
		       m->capacity_factor, h->bench.tokens, m->forward_degree, m->backward_degree,
		       fsmoe_graph_schedule(h->step.graph)->name);
	printf(", %s, %d ranks\n", h->opts.train.runtime.dtype, h->bench.ranks);
}

/* --- StarPU and streams in turns ------------------------------------------------------------ */

struct both
{
	struct fsmoe_comm *world;
	fsmoe_program_t program;
	struct fsmoe_stream *stream;
	uint64_t step;
	double submitting[2]; /* seconds of all steps so far: on streams, to StarPU */
	int steps[2];
};

static double run_steps(struct both *b, int starpu, int n)
{
	double start, seconds;

	TRY(fsmoe_comm_barrier(b->world));
	start = fsmoe_clock();
	for (int i = 0; i < n; i++)
	{
		const struct fsmoe_step step = {.step = ++b->step, .lr = 1e-4};
		const double begin = fsmoe_clock();

		if (starpu)
			TRY(fsmoe_program_submit(b->program, &step));
		else
			TRY(fsmoe_stream_submit(b->stream, &step));
		b->submitting[starpu] += fsmoe_clock() - begin;
		b->steps[starpu]++;
		if (starpu)
			TRY(fsmoe_program_wait(b->program));
		else
			TRY(fsmoe_stream_wait(b->stream));
	}
	seconds = (fsmoe_clock() - start) / n;
	TRY(fsmoe_bench_over_ranks(b->world, seconds, 1, &seconds));
	return seconds;
}

static void run_pairs(struct both *b, const struct setting *setting, int first)
{
	double seconds[2][PAIRS], ratio[PAIRS], median, starpu, stream;

	run_steps(b, 1, WARMUP);
	run_steps(b, 0, WARMUP);
	for (int k = 0; k < PAIRS; k++)
	{
		const int turn = k % 2;

		seconds[turn][k] = run_steps(b, turn, STEPS);
		seconds[!turn][k] = run_steps(b, !turn, STEPS);
		ratio[k] = seconds[1][k] / seconds[0][k];
	}
	starpu = fsmoe_median(seconds[1], PAIRS);
	stream = fsmoe_median(seconds[0], PAIRS);
	median = fsmoe_median(ratio, PAIRS); /* sorts them */
	if (first)
		printf("  chains %d%s: %4d tasks of %4d nodes  StarPU %9.4f ms  streams %9.4f ms  "
		       "ratio %.3f (quartiles %.3f %.3f, extremes %.3f %.3f)  submitting %.4f "
		       "%.4f\n",
		       setting->fuse, setting->early_release ? " ahead" : "      ",
		       b->program->ntemplates, b->program->nnodes, 1e3 * starpu, 1e3 * stream,
		       median, ratio[PAIRS / 4], ratio[3 * PAIRS / 4], ratio[0], ratio[PAIRS - 1],
		       1e3 * b->submitting[1] / b->steps[1], 1e3 * b->submitting[0] / b->steps[0]);
}

static void compare(const struct harness *h, const struct setting *setting)
{
	struct fsmoe_runtime_opts opts = h->opts.train.runtime;
	const struct fsmoe_stream_opts stream_opts = {.tf32 = !strcmp(opts.dtype, "tf32")};
	struct fsmoe_device_memory *gpu;
	fsmoe_runtime_t runtime;
	fsmoe_comms_t comms;
	struct both b = {0};

	opts.timing = 0;
	opts.fuse = setting->fuse;
	opts.early_release = setting->early_release;
	TRY(fsmoe_runtime_start(&runtime, h->bench.groups, &opts));
	comms = fsmoe_runtime_comms(runtime);
	b.world = fsmoe_comms_get(comms, FSMOE_GROUP_WORLD);
	TRY(fsmoe_program_create(&b.program, runtime, h->step.graph, h->memory));
	TRY(fsmoe_device_memory_create_as(&gpu, h->step.graph, fsmoe_gpu->device(runtime->gpu),
					  runtime->real));
	TRY(fsmoe_device_memory_upload(gpu, h->memory));
	TRY(fsmoe_stream_create(&b.stream, h->step.graph, gpu, comms, &stream_opts));
	run_pairs(&b, setting, h->bench.rank == 0);
	fsmoe_stream_destroy(b.stream);
	fsmoe_device_memory_destroy(gpu);
	fsmoe_program_destroy(b.program);
	fsmoe_runtime_stop(runtime);
}

int main(int argc, char **argv)
{
	struct harness h = {.preset = NULL};
	const int err = read_options(&h, argc, argv);

	if (err == FSMOE_OPTIONS_HELP)
		return 0;
	TRY(err);
	if (fsmoe_device_count() == 0)
	{
		printf("executors: skipped, there is no GPU here\n");
		return 77;
	}
	h.bench.opts = &h.opts;
	if (h.opts.train.schedule)
	{
		const struct fsmoe_schedule *found = fsmoe_schedule_find(h.opts.train.schedule);

		TRY(found ? 0 : -1);
		h.bench.schedule = *found;
	}
	TRY(fsmoe_topo_create(&h.bench.topo, NULL, h.opts.train.nodes));
	TRY(fsmoe_bench_lay_out(&h.bench));
	if (h.preset)
		create_step(&h);
	else
		create_layer(&h);
	print_name(&h);
	for (int i = 0; i < h.settings; i++)
		compare(&h, &settings[i]);
	fsmoe_memory_destroy(h.memory);
	fsmoe_step_destroy(&h.step);
	fsmoe_bench_destroy(&h.bench);
	return 0;
}
