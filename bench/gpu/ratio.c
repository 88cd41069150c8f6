/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What StarPU costs: the same graph submitted to StarPU and walked on bare streams, in turns.
 *
 *	ratio WORK [tf32|bf16] [nodes=N] [all|default]
 *	                     the work as in work.h; under mpirun a rank has a GPU
 *
 * A pair is STEPS steps each way, every step waited for; the first of a pair changes. Prints, for
 * what is the default: chains of tasks across passes (2), where computation runs ahead (struct
 * fsmoe_runtime_opts), and for chains within a layer's pass (1) where every edge goes through the
 * host; with `default` only for the former, with `all` also for what is between, and for a node a
 * task (0): tasks a step, the median milliseconds of a step both ways, of the pairs' ratios the
 * median, the quartiles and the extremes, and the mean milliseconds until everything is submitted,
 * both ways. The times are of the slowest rank.
 */
#include "base/clock.h"
#include "comm/comm.h"
#include "gpu/device.h"
#include "runtime/gpu_ops.h"
#include "runtime/runtime_internal.h"
#include "tests/lib/try.h"
#include "work.h"

#include <string.h>

enum
{
	WARM = 3,
	PAIRS = 21,
	STEPS = 5
};

struct both
{
	fsmoe_runtime_t runtime;
	fsmoe_program_t program;
	struct fsmoe_device_memory *gpu;
	struct fsmoe_stream *stream;
	uint64_t step;
	double submitting[2]; /* seconds of all steps so far: on streams, to StarPU */
	int steps[2];
};

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of all ranks the slowest: one waits for the other. */
static double slowest(const struct both *b, double seconds)
{
	struct fsmoe_comm *world =
		fsmoe_comms_get(fsmoe_runtime_comms(b->runtime), FSMOE_GROUP_WORLD);
	double all[world->size];

	TRY(fsmoe_comm_allgather(world, &seconds, all, sizeof(seconds)));
	for (int r = 0; r < world->size; r++)
		seconds = all[r] > seconds ? all[r] : seconds;
	return seconds;
}

static double run_steps(struct both *b, int starpu, int n)
{
	double start;

	TRY(fsmoe_comm_barrier(
		fsmoe_comms_get(fsmoe_runtime_comms(b->runtime), FSMOE_GROUP_WORLD)));
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
	return slowest(b, (fsmoe_clock() - start) / n);
}

static const struct way
{
	int chain, ahead;
} ways[] = {{2, 1}, {1, 0}, {0, 0}, {0, 1}, {1, 1}}; /* the default first */

static void run_pairs(struct both *b, const struct way *way, int first)
{
	double starpu[PAIRS], stream[PAIRS], ratio[PAIRS];

	run_steps(b, 1, WARM);
	run_steps(b, 0, WARM);
	for (int k = 0; k < PAIRS; k++)
	{
		const int turn = k % 2;
		double seconds[2];

		seconds[turn] = run_steps(b, turn, STEPS);
		seconds[!turn] = run_steps(b, !turn, STEPS);
		starpu[k] = seconds[1];
		stream[k] = seconds[0];
		ratio[k] = seconds[1] / seconds[0];
	}
	qsort(starpu, PAIRS, sizeof(double), ascending);
	qsort(stream, PAIRS, sizeof(double), ascending);
	qsort(ratio, PAIRS, sizeof(double), ascending);
	if (first)
		printf("  chains %d%s: %4d tasks of %4d nodes  StarPU %9.4f ms  streams %9.4f ms  "
		       "ratio %.3f (quartiles %.3f %.3f, extremes %.3f %.3f)  submitting %.4f "
		       "%.4f\n",
		       way->chain, way->ahead ? " ahead" : "      ", b->program->ntemplates,
		       b->program->nnodes, 1e3 * starpu[PAIRS / 2], 1e3 * stream[PAIRS / 2],
		       ratio[PAIRS / 2], ratio[PAIRS / 4], ratio[3 * PAIRS / 4], ratio[0],
		       ratio[PAIRS - 1], 1e3 * b->submitting[1] / b->steps[1],
		       1e3 * b->submitting[0] / b->steps[0]);
}

static void compare(fsmoe_groups_t groups, const struct way *way, const char *dtype,
		    struct work *work, int first)
{
	const struct fsmoe_stream_opts stream_opts = {.tf32 = !strcmp(dtype, "tf32")};
	struct fsmoe_runtime_opts opts;
	struct both b = {0};

	fsmoe_runtime_opts_init(&opts);
	opts.device = "cuda";
	opts.chain = way->chain;
	opts.ahead = way->ahead;
	opts.dtype = dtype;
	TRY(fsmoe_runtime_start(&b.runtime, groups, &opts));
	TRY(fsmoe_program_create(&b.program, b.runtime, work->step.graph, work->memory));
	TRY(fsmoe_device_memory_create_as(&b.gpu, work->step.graph,
					  fsmoe_gpu->device(b.runtime->gpu), b.runtime->real));
	TRY(fsmoe_device_memory_upload(b.gpu, work->memory));
	TRY(fsmoe_stream_create(&b.stream, work->step.graph, b.gpu, fsmoe_runtime_comms(b.runtime),
				&stream_opts));
	run_pairs(&b, way, first);
	fsmoe_stream_destroy(b.stream);
	fsmoe_device_memory_destroy(b.gpu);
	fsmoe_program_destroy(b.program);
	fsmoe_runtime_stop(b.runtime);
}

int main(int argc, char **argv)
{
	const char *dtype = "fp32";
	int nodes = 0, first;
	size_t n = 2; /* of the ways */
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	struct work work;

	for (; argc > 1; argc--)
	{
		if (!strcmp(argv[argc - 1], "tf32") || !strcmp(argv[argc - 1], "bf16"))
			dtype = argv[argc - 1];
		else if (!strcmp(argv[argc - 1], "all"))
			n = sizeof(ways) / sizeof(ways[0]);
		else if (!strcmp(argv[argc - 1], "default"))
			n = 1;
		else if (sscanf(argv[argc - 1], "nodes=%d", &nodes) != 1)
			break;
	}
	if (work_arguments(argc - 1, argv + 1) != argc - 1)
	{
		fprintf(stderr, "usage: ratio M H E k f T | PRESET BATCH, then [tf32|bf16] "
				"[nodes=N] [all|default]\n");
		return 64;
	}
	if (fsmoe_device_count() == 0)
	{
		printf("ratio: skipped, there is no GPU here\n");
		return 77;
	}
	TRY(fsmoe_topo_create(&topo, NULL, nodes));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	first = fsmoe_topo_rank(topo) == 0;
	work_create(&work, groups, argc - 1, argv + 1);
	if (first)
		printf("%s, %s, %d ranks\n", work.name, dtype, fsmoe_topo_ranks(topo));
	for (size_t i = 0; i < n; i++)
		compare(groups, &ways[i], dtype, &work, first);
	work_destroy(&work);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return 0;
}
