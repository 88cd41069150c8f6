/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts [NODES] [BATCH] [ROUNDS] [PRESET] [BLAS THREADS]: does ds-moe, in which nothing overlaps,
 * take as long as the sum of its parts? ROUNDS times it runs a training step and then each of the
 * step's tasks by itself, as a program of its own, in the order of the step, on the same ranks and
 * buffers, all ranks at once. A step far above the sum means that the baseline is slow by accident,
 * one far below that tasks overlap which should not.
 *
 * It takes a task's median of the slowest rank for computation. For communication it takes that of
 * the rank that waits least, as `fsmoe bench schedule` does. The ratio is taken per round: the step
 * over the sum of its own tasks alone, in which the slowest rank of that round counts between two
 * communications. Ranks that share cores are slow in turns, which medians over rounds would hide.
 * It prints the median of the ratios, a tenth and nine tenths.
 */
#include "tests/lib/try.h"

#include "base/clock.h"
#include "bench/schedule.h"
#include "comm/comm.h"
#include "graph/graph.h"
#include "measure/samples.h"
#include "runtime/introspect.h"

#include <fsmoe.h>
#include <math.h>
#include <string.h>

struct job
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	struct fsmoe_comm *world;
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_step_graph step;
	fsmoe_memory_t memory;
	int rounds;
};

enum
{
	WARMUP = 2
};

static double over_ranks(const struct job *j, double mine, int greatest)
{
	double value;

	TRY(fsmoe_bench_over_ranks(j->world, mine, greatest, &value));
	return value;
}

/* Seconds of n tasks, by round, on this rank. */
struct rounds
{
	double *of_task; /* (n, rounds) */
	int n;
};

static struct rounds make_rounds(const struct job *j, int n)
{
	struct rounds r = {calloc((size_t)n * (size_t)j->rounds, sizeof(double)), n};

	if (!r.of_task)
		exit(1);
	return r;
}

static double *at(const struct job *j, const struct rounds *r, int task, int round)
{
	return &r->of_task[(size_t)task * (size_t)j->rounds + (size_t)round];
}

static double run(const struct job *j, fsmoe_program_t program)
{
	double start;

	TRY(fsmoe_comm_barrier(j->world));
	start = fsmoe_clock();
	/* lr 0: the same weights in every round. */
	TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = 1}));
	TRY(fsmoe_program_wait(program));
	return fsmoe_clock() - start;
}

/* The slowest rank's time. */
static double run_step(const struct job *j, fsmoe_program_t program, struct rounds *held, int round)
{
	const double took = over_ranks(j, run(j, program), 1);
	double now[held->n];
	struct fsmoe_timeline tl;

	TRY(fsmoe_program_observe(program, &tl));
	TRY(fsmoe_timeline_held(&tl, j->step.graph, now));
	fsmoe_timeline_destroy(&tl);
	for (int i = 0; i < held->n && round >= 0; i++)
		*at(j, held, i, round) = now[i];
	return took;
}

/* A task as a graph of its own, on the tensors of the step. */
struct part
{
	struct fsmoe_graph graph;
	struct fsmoe_node node;
	fsmoe_program_t program;
};

static void make_part(const struct job *j, int i, struct part *p)
{
	p->graph = *j->step.graph;
	p->node = p->graph.nodes[i];
	p->node.id = 0;
	p->node.seq = p->node.seq >= 0 ? 0 : -1;
	p->graph.nodes = &p->node;
	p->graph.nnodes = 1;
	TRY(fsmoe_program_create(&p->program, j->rt, &p->graph, j->memory));
}

/* Runs the tasks in the order of the step, so that caches and sums are as there. A task's time is
 * from when it was ready to its end. */
static void run_parts(const struct job *j, struct part *part, struct rounds *alone, int round)
{
	for (int i = 0; i < alone->n; i++)
	{
		struct fsmoe_timeline tl;

		run(j, part[i].program);
		TRY(fsmoe_program_observe(part[i].program, &tl));
		if (round >= 0)
			*at(j, alone, i, round) = tl.end[0] - fmin(tl.ready[0], tl.start[0]);
		fsmoe_timeline_destroy(&tl);
	}
}

/* --- printing ----------------------------------------------------------------------------- */

/* Sums each round's tasks as a step runs them: between two communications each rank runs its own
 * tasks, and all wait for the slowest. */
static void sum_rounds(const struct job *j, const struct rounds *r, double *sum)
{
	for (int round = 0; round < j->rounds; round++)
	{
		double own = 0;

		sum[round] = 0;
		for (int i = 0; i < r->n; i++)
			if (FSMOE_KIND_IS_COMM(j->step.graph->nodes[i].op->kind))
			{
				sum[round] += over_ranks(j, own, 1) +
					      over_ranks(j, *at(j, r, i, round), 0);
				own = 0;
			}
			else
				own += *at(j, r, i, round);
		sum[round] += over_ranks(j, own, 1);
	}
}

/* Sums the tasks' medians by kind. Sorts the rounds. */
static double sum_kinds(const struct job *j, struct rounds *r, double *kind)
{
	double all = 0;

	for (int i = 0; i < r->n; i++)
	{
		const enum fsmoe_kind k = j->step.graph->nodes[i].op->kind;
		const double median = over_ranks(j, fsmoe_median(at(j, r, i, 0), j->rounds),
						 !FSMOE_KIND_IS_COMM(k));

		kind[k] += median;
		all += median;
	}
	return all;
}

static void print_kinds(const double *in_step, const double *alone, double all_in_step,
			double all_alone)
{
	printf("%-15s %9s %9s  ms\n", "", "in step", "alone");
	for (int k = 0; k < FSMOE_NKINDS; k++)
		if (alone[k] > 0)
			printf("%-15s %9.3f %9.3f\n", fsmoe_kind_name((enum fsmoe_kind)k),
			       1e3 * in_step[k], 1e3 * alone[k]);
	printf("%-15s %9.3f %9.3f\n", "together", 1e3 * all_in_step, 1e3 * all_alone);
}

static void print(const struct job *j, double *seconds, struct rounds *held, struct rounds *alone)
{
	double in_step[FSMOE_NKINDS] = {0}, by_itself[FSMOE_NKINDS] = {0}, ratio[j->rounds];
	double all_in_step, all_alone, step;

	sum_rounds(j, alone, ratio);
	for (int i = 0; i < j->rounds; i++)
		ratio[i] = seconds[i] / ratio[i];
	all_in_step = sum_kinds(j, held, in_step);
	all_alone = sum_kinds(j, alone, by_itself);
	step = fsmoe_median(seconds, j->rounds);
	fsmoe_median(ratio, j->rounds); /* sorts them */
	if (j->world->rank)
		return;
	print_kinds(in_step, by_itself, all_in_step, all_alone);
	printf("ds-moe: a step takes %.3f ms, its %d tasks alone %.3f ms: ratio %.3f; by rounds "
	       "%.3f (%.3f to %.3f)\n",
	       1e3 * step, alone->n, 1e3 * all_alone, step / all_alone, ratio[j->rounds / 2],
	       ratio[j->rounds / 10], ratio[j->rounds - 1 - j->rounds / 10]);
}

static void compare(const struct job *j)
{
	const int n = j->step.graph->nnodes;
	struct rounds held = make_rounds(j, n), alone = make_rounds(j, n);
	struct part *part = calloc((size_t)n, sizeof(*part));
	double seconds[j->rounds];
	fsmoe_program_t step;

	if (!part)
		exit(1);
	TRY(fsmoe_program_create(&step, j->rt, j->step.graph, j->memory));
	for (int i = 0; i < n; i++)
		make_part(j, i, &part[i]);
	for (int round = -WARMUP; round < j->rounds; round++)
	{
		const double took = run_step(j, step, &held, round);

		if (round >= 0)
			seconds[round] = took;
		run_parts(j, part, &alone, round);
	}
	print(j, seconds, &held, &alone);
	for (int i = 0; i < n; i++)
		fsmoe_program_destroy(part[i].program);
	fsmoe_program_destroy(step);
	free(part);
	free(held.of_task);
	free(alone.of_task);
}

int main(int argc, char **argv)
{
	struct job j = {.rounds = argc > 3 ? atoi(argv[3]) : 15};
	struct fsmoe_runtime_opts opts;

	TRY(fsmoe_topo_create(&j.topo, NULL, argc > 1 ? atoi(argv[1]) : 2));
	TRY(fsmoe_groups_create(&j.groups, j.topo, &(struct fsmoe_layout){0}));
	fsmoe_runtime_opts_init(&opts);
	opts.bind = 1;
	opts.blas_threads = argc > 5 ? atoi(argv[5]) : 0;
	TRY(fsmoe_runtime_start(&j.rt, j.groups, &opts));
	j.world = fsmoe_comms_get(fsmoe_runtime_comms(j.rt), FSMOE_GROUP_WORLD);
	fsmoe_runtime_set_recording(j.rt, 1);
	TRY(fsmoe_model_spec_init(&j.spec, argc > 4 ? argv[4] : "quickstart"));
	fsmoe_train_opts_init(&j.opts);
	j.opts.global_batch = argc > 2 ? atoi(argv[2]) : 32;
	j.opts.seq_length = j.spec.seq_length;
	j.opts.schedule = fsmoe_schedule_find("ds-moe");
	TRY(fsmoe_step_create(&j.step, j.groups, fsmoe_model_as_forward(&j.spec), &j.opts));
	TRY(fsmoe_memory_create(&j.memory, j.step.graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(j.memory, 1));
	fsmoe_bench_fill_tokens(&j.step, j.memory, j.world->rank, j.spec.vocab_size);
	compare(&j);
	fsmoe_memory_destroy(j.memory);
	fsmoe_step_destroy(&j.step);
	fsmoe_runtime_stop(j.rt);
	fsmoe_groups_destroy(j.groups);
	fsmoe_topo_destroy(j.topo);
	return 0;
}
