/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost of StarPU.
 *
 *   overhead step [PAIRS]    the default model's training step on one rank: executed one node
 *                            after another against submitted, in interleaved pairs
 *   overhead tasks           a chain and a set of independent tasks of 10 us to 10 ms: time a
 *                            task beyond its body
 *   overhead record [PAIRS]  the event recorder: nanoseconds an event, and the same step with it
 *                            and without, in interleaved pairs
 *   overhead idle SECONDS    under mpirun: CPU time of ranks that wait in a collective for
 *                            rank 0, which sleeps
 * CSV on stdout.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "comm/comm.h"
#include "step/step.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <fsmoe/op.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double quantile(double *v, int n, double q)
{
	qsort(v, (size_t)n, sizeof(*v), ascending);
	return v[(int)(q * (n - 1) + 0.5)];
}

static double cpu_seconds(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

/* --- step --------------------------------------------------------------------------------- */

/* One step, with a memory for each walker. */
struct both
{
	struct fsmoe_step_graph step;
	fsmoe_memory_t executed, submitted;
	fsmoe_program_t program;
	fsmoe_runtime_t rt;
	struct fsmoe_step values;
};

static void fill(fsmoe_memory_t memory, const struct fsmoe_step_graph *step, int n)
{
	int32_t *tokens = fsmoe_memory_data(memory, step->batch[0].tokens),
		*targets = fsmoe_memory_data(memory, step->batch[0].targets);

	TRY(fsmoe_memory_init_params(memory, 1));
	for (int i = 0; i < n; i++)
	{
		tokens[i] = (int32_t)(fsmoe_rng_bits(1, (uint64_t)i) % 256);
		targets[i] = (int32_t)(fsmoe_rng_bits(2, (uint64_t)i) % 256);
	}
}

static void make_both(struct both *b)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;

	*b = (struct both){.values = {.step = 1, .lr = 1e-4}};
	TRY(fsmoe_model_spec_init(&spec, "quickstart"));
	fsmoe_train_opts_init(&opts);
	opts.seq_length = spec.seq_length;
	TRY(fsmoe_runtime_start(&b->rt, NULL, NULL));
	TRY(fsmoe_step_create(&b->step, NULL, fsmoe_model_as_forward(&spec), &opts));
	TRY(fsmoe_memory_create(&b->executed, b->step.graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_create(&b->submitted, b->step.graph, FSMOE_F32, NULL));
	fill(b->executed, &b->step, opts.global_batch * opts.seq_length);
	fill(b->submitted, &b->step, opts.global_batch * opts.seq_length);
	TRY(fsmoe_program_create(&b->program, b->rt, b->step.graph, b->submitted));
}

static void free_both(struct both *b)
{
	fsmoe_program_destroy(b->program);
	fsmoe_memory_destroy(b->executed);
	fsmoe_memory_destroy(b->submitted);
	fsmoe_step_destroy(&b->step);
	fsmoe_runtime_stop(b->rt);
}

/* Seconds of a step by either walker: [0] executed, [1] submitted. */
static void time_pair(struct both *b, int submit_first, double *seconds)
{
	for (int half = 0; half < 2; half++)
	{
		const int submit = half != submit_first;
		const double start = fsmoe_clock();

		if (submit)
		{
			TRY(fsmoe_program_submit(b->program, &b->values));
			TRY(fsmoe_program_wait(b->program));
		}
		else
			TRY(fsmoe_graph_execute(b->step.graph, b->executed, NULL, &b->values));
		seconds[submit] = fsmoe_clock() - start;
	}
	b->values.step++;
}

static void bench_step(int pairs)
{
	struct both both;
	double *e = calloc((size_t)pairs, sizeof(double)),
	       *s = calloc((size_t)pairs, sizeof(double)),
	       *ratio = calloc((size_t)pairs, sizeof(double));
	int nodes;

	make_both(&both);
	fsmoe_graph_nodes(both.step.graph, &nodes);
	printf("pair,execute_ms,submit_ms,ratio\n");
	for (int i = -2; i < pairs; i++)
	{
		double seconds[2];

		/* The first of a pair alternates, so that neither always finds the caches warm. */
		time_pair(&both, i & 1, seconds);
		if (i < 0)
			continue;
		e[i] = seconds[0];
		s[i] = seconds[1];
		ratio[i] = s[i] / e[i];
		printf("%d,%.3f,%.3f,%.4f\n", i, e[i] * 1e3, s[i] * 1e3, ratio[i]);
	}
	fprintf(stderr,
		"%d nodes, %d pairs: execute %.1f ms, submit %.1f ms; submit / execute median %.4f "
		"(%.4f to %.4f)\n",
		nodes, pairs, quantile(e, pairs, 0.5) * 1e3, quantile(s, pairs, 0.5) * 1e3,
		quantile(ratio, pairs, 0.5), quantile(ratio, pairs, 0.0),
		quantile(ratio, pairs, 1.0));
	free_both(&both);
	free(e);
	free(s);
	free(ratio);
}

/* --- tasks -------------------------------------------------------------------------------- */

static int spin(const struct fsmoe_call *call)
{
	double until = fsmoe_clock() + *(const double *)call->args;

	while (fsmoe_clock() < until)
		;
	return 0;
}

static const struct fsmoe_port spin_ports[] = {{"x", FSMOE_RW, 0}};
static const struct fsmoe_op spin_op = {.name = "spin",
					.doc = "bench only",
					.kind = FSMOE_KIND_MEMORY,
					FSMOE_PORTS(spin_ports),
					.cpu = {spin, spin}};

static double seconds_beyond_body(fsmoe_runtime_t rt, double body, int chain)
{
	enum
	{
		TENSORS = 64
	};
	int n = body < 1e-3 ? 2000 : 200, repeats = 5;
	fsmoe_tensor_t tensor[TENSORS];
	fsmoe_graph_t g;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	double best[5];

	TRY(fsmoe_graph_create(&g, NULL));
	for (int i = 0; i < TENSORS; i++)
		tensor[i] = fsmoe_graph_activation(g, FSMOE_REAL, FSMOE_SHAPE1(16), "t%d", i);
	for (int i = 0; i < n; i++)
		fsmoe_graph_append(
			g, &spin_op, &body, sizeof(body),
			&(struct fsmoe_access){.tensor = tensor[chain ? 0 : i % TENSORS]}, 1);
	TRY(fsmoe_memory_create(&memory, g, FSMOE_F32, NULL));
	TRY(fsmoe_program_create(&program, rt, g, memory));
	for (int r = 0; r < repeats; r++)
	{
		double t = fsmoe_clock();
		TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = 1}));
		TRY(fsmoe_program_wait(program));
		best[r] = (fsmoe_clock() - t) / n - body;
	}
	fsmoe_program_destroy(program);
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(g);
	return quantile(best, repeats, 0.5);
}

static void bench_tasks(void)
{
	static const double bodies[] = {10e-6, 30e-6, 100e-6, 300e-6, 1e-3, 3e-3, 10e-3};
	fsmoe_runtime_t rt;

	TRY(fsmoe_runtime_start(&rt, NULL, NULL));
	printf("body_us,chain_us,independent_us,chain_share\n");
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		double chain = seconds_beyond_body(rt, bodies[i], 1),
		       independent = seconds_beyond_body(rt, bodies[i], 0);
		printf("%.0f,%.2f,%.2f,%.4f\n", bodies[i] * 1e6, chain * 1e6, independent * 1e6,
		       chain / (chain + bodies[i]));
		fflush(stdout);
	}
	fsmoe_runtime_stop(rt);
}

/* --- record ------------------------------------------------------------------------------- */

/* The cost of a recorded event: reading the clock when a task is submitted and when it becomes
 * ready, and a share of writing the task's four times to the file's buffer after the step. Two
 * events per task. */
static double event_ns(void)
{
	enum
	{
		N = 2000000
	};
	double *time = calloc(2 * N, sizeof(*time)), start, end;
	FILE *file = tmpfile();

	memset(time, 1, 2 * N * sizeof(*time)); /* pages are there, as in a program */
	start = cpu_seconds();

	for (int i = 0; i < 2 * N; i++)
		time[i] = fsmoe_clock();
	for (int i = 0; i < 2; i++)
		fwrite(time, sizeof(*time), 2 * N, file);
	fflush(file);
	end = cpu_seconds();
	fclose(file);
	free(time);
	return 1e9 * (end - start) / (2 * N);
}

static void bench_record(int pairs)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_step_graph step;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	fsmoe_runtime_t rt;
	const char *tmp = getenv("TMPDIR");
	char folder[512];
	double *off = calloc((size_t)pairs, sizeof(double)),
	       *on = calloc((size_t)pairs, sizeof(double)),
	       *ratio = calloc((size_t)pairs, sizeof(double));
	int nodes;

	snprintf(folder, sizeof(folder), "%s/overhead-record", tmp ? tmp : "/tmp");
	TRY(fsmoe_model_spec_init(&spec, "quickstart"));
	fsmoe_train_opts_init(&opts);
	opts.seq_length = spec.seq_length;
	TRY(fsmoe_runtime_start(&rt, NULL, NULL));
	TRY(fsmoe_step_create(&step, NULL, fsmoe_model_as_forward(&spec), &opts));
	TRY(fsmoe_memory_create(&memory, step.graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(memory, 1));
	TRY(fsmoe_program_create(&program, rt, step.graph, memory));
	fsmoe_graph_nodes(step.graph, &nodes);
	for (int i = -2; i < pairs; i++)
		for (int half = 0; half < 2; half++)
		{
			const int record = half == (i & 1);
			double t;

			TRY(fsmoe_runtime_record(rt, record, record ? folder : NULL));
			t = fsmoe_clock();
			TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = 1}));
			TRY(fsmoe_program_wait(program));
			if (i >= 0)
				(record ? on : off)[i] = fsmoe_clock() - t;
		}
	printf("pair,off_ms,on_ms,ratio\n");
	for (int i = 0; i < pairs; i++)
	{
		ratio[i] = on[i] / off[i];
		printf("%d,%.3f,%.3f,%.4f\n", i, off[i] * 1e3, on[i] * 1e3, ratio[i]);
	}
	fprintf(stderr,
		"%d nodes, %d pairs: recorder off %.1f ms, on %.1f ms; on / off median %.4f (%.4f "
		"to %.4f); %.0f ns an event\n",
		nodes, pairs, quantile(off, pairs, 0.5) * 1e3, quantile(on, pairs, 0.5) * 1e3,
		quantile(ratio, pairs, 0.5), quantile(ratio, pairs, 0.25),
		quantile(ratio, pairs, 0.75), event_ns());
	fsmoe_program_destroy(program);
	fsmoe_memory_destroy(memory);
	fsmoe_step_destroy(&step);
	fsmoe_runtime_stop(rt);
	free(off);
	free(on);
	free(ratio);
}

/* --- idle --------------------------------------------------------------------------------- */

static void bench_idle(double seconds)
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	struct fsmoe_comm *world;
	float used;

	TRY(fsmoe_topo_create(&topo, NULL, 0));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&rt, groups, NULL));
	world = fsmoe_comms_get(fsmoe_runtime_comms(rt), FSMOE_GROUP_WORLD);
	TRY(fsmoe_comm_barrier(world));
	used = (float)-cpu_seconds();
	if (fsmoe_topo_rank(topo) == 0)
		fsmoe_clock_sleep(seconds);
	TRY(fsmoe_comm_barrier(world));
	used += (float)cpu_seconds();
	TRY(fsmoe_comm_allreduce(world, FSMOE_F32, &used, 1));
	if (fsmoe_topo_rank(topo) == 0)
		printf("ranks,seconds,cpu_seconds,share_of_one_core\n%d,%.1f,%.3f,%.4f\n",
		       fsmoe_topo_ranks(topo), seconds, used, used / seconds);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
}

int main(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "step"))
		bench_step(argc > 2 ? atoi(argv[2]) : 15);
	else if (argc >= 2 && !strcmp(argv[1], "tasks"))
		bench_tasks();
	else if (argc >= 2 && !strcmp(argv[1], "record"))
		bench_record(argc > 2 ? atoi(argv[2]) : 31);
	else if (argc >= 2 && !strcmp(argv[1], "idle"))
		bench_idle(argc > 2 ? atof(argv[2]) : 5);
	else
		return fprintf(stderr, "usage: overhead step [PAIRS] | tasks | record [PAIRS] | "
				       "idle [SECONDS]\n"),
		       2;
	return 0;
}
