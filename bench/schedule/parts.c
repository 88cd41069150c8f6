/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts [NODES] [BATCH] [ROUNDS] [PRESET]: whether ds-moe, in which nothing overlaps, takes what its
 * parts take alone. Its training step runs ROUNDS times; then every one of the step's tasks, by
 * itself, in the order of the step, on the same ranks and buffers: a program of that task alone, all
 * ranks at once, ROUNDS times. A step far above the sum would be a baseline that is slow by accident;
 * one far below would overlap what it says it does not.
 *
 * Of a task's medians the slowest rank's counts for computation, and for communication that of the
 * rank that waits least, as in `fsmoe bench schedule`. The least of the rounds beside the medians says
 * how quiet the machine is.
 */
#include "tests/lib/try.h"

#include "base/clock.h"
#include "base/rng.h"
#include "comm/comm.h"
#include "graph/graph.h"
#include "measure/samples.h"
#include "runtime/inside.h"
#include "step/step.h"

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
	double all[j->world->size], value = mine;

	TRY(fsmoe_comm_allgather(j->world, &mine, all, sizeof(mine)));
	for (int r = 0; r < j->world->size; r++)
		value = greatest ? fmax(value, all[r]) : fmin(value, all[r]);
	return value;
}

static void fill_inputs(const struct job *j)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(j->step.graph, &n);

	for (int i = 0; i < j->step.microbatches; i++)
	{
		const struct fsmoe_batch_spec *b = &j->step.batch[i];
		int32_t *tokens = fsmoe_memory_data(j->memory, b->tokens),
			*targets = fsmoe_memory_data(j->memory, b->targets);
		const uint64_t key = fsmoe_rng_subkey(fsmoe_rng_key(1, "parts"),
						      (uint64_t)(j->world->rank * 64 + i));

		for (size_t k = 0; k < fsmoe_shape_count(&t[b->tokens].shape); k++)
		{
			tokens[k] = (int32_t)(fsmoe_rng_bits(key, k) % (uint64_t)j->spec.vocab);
			targets[k] = (tokens[k] + 1) % j->spec.vocab;
		}
	}
}

/* A step's rounds, all of it or task by task. */
struct took
{
	double median, least;
};

/* Sorts the rounds. */
static struct took summary(double *seconds, int rounds)
{
	const double median = fsmoe_median(seconds, rounds);

	return (struct took){median, seconds[0]};
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

/* Of the slowest rank's rounds; held: by task and round, how long each held its lane. */
static struct took whole_step(const struct job *j, double *held)
{
	const int n = j->step.graph->nnodes;
	double seconds[j->rounds], now[n];
	fsmoe_program_t program;

	TRY(fsmoe_program_create(&program, j->rt, j->step.graph, j->memory));
	for (int i = -WARMUP; i < j->rounds; i++)
	{
		const double took = over_ranks(j, run(j, program), 1);
		struct fsmoe_timeline tl;

		TRY(fsmoe_program_observe(program, &tl));
		TRY(fsmoe_timeline_held(&tl, j->step.graph, now));
		fsmoe_timeline_destroy(&tl);
		if (i < 0)
			continue;
		seconds[i] = took;
		for (int k = 0; k < n; k++)
			held[(size_t)k * (size_t)j->rounds + (size_t)i] = now[k];
	}
	fsmoe_program_destroy(program);
	return summary(seconds, j->rounds);
}

/* A task as a graph of its own, on the tensors of the step. */
struct part
{
	struct fsmoe_graph graph;
	struct fsmoe_node node;
	fsmoe_program_t program;
	double *seconds; /* of each round, from when it was ready to its end */
};

static void make_part(const struct job *j, int i, struct part *p)
{
	p->graph = *j->step.graph;
	p->node = p->graph.nodes[i];
	p->node.id = 0;
	p->node.seq = p->node.seq >= 0 ? 0 : -1;
	p->graph.nodes = &p->node;
	p->graph.nnodes = 1;
	p->seconds = calloc((size_t)j->rounds, sizeof(*p->seconds));
	if (!p->seconds)
		exit(1);
	TRY(fsmoe_program_create(&p->program, j->rt, &p->graph, j->memory));
}

/* In the order of the step, so that caches and sums are as they are there. */
static void run_parts(const struct job *j, struct part *part, int n)
{
	for (int round = -WARMUP; round < j->rounds; round++)
		for (int i = 0; i < n; i++)
		{
			struct fsmoe_timeline tl;

			run(j, part[i].program);
			TRY(fsmoe_program_observe(part[i].program, &tl));
			if (round >= 0)
				part[i].seconds[round] = tl.end[0] - fmin(tl.ready[0], tl.start[0]);
			fsmoe_timeline_destroy(&tl);
		}
}

/* Milliseconds of all tasks of a kind, in the step and alone. */
struct kind
{
	double in_step, alone;
};

static void print(const struct kind *kind, struct took step, struct took sum, int n, int rounds)
{
	struct kind all = {0, 0};

	printf("%-15s %9s %9s  ms\n", "", "in step", "alone");
	for (int k = 0; k < FSMOE_NKINDS; k++)
		if (kind[k].alone > 0)
		{
			printf("%-15s %9.3f %9.3f\n", fsmoe_kind_name((enum fsmoe_kind)k),
			       1e3 * kind[k].in_step, 1e3 * kind[k].alone);
			all.in_step += kind[k].in_step;
			all.alone += kind[k].alone;
		}
	printf("%-15s %9.3f %9.3f\n", "together", 1e3 * all.in_step, 1e3 * all.alone);
	printf("ds-moe: a step takes %.3f ms, its %d tasks alone %.3f ms: ratio %.3f; the least of "
	       "%d: %.3f, %.3f: %.3f\n",
	       1e3 * step.median, n, 1e3 * sum.median, step.median / sum.median, rounds,
	       1e3 * step.least, 1e3 * sum.least, step.least / sum.least);
}

static void compare(const struct job *j)
{
	const int n = j->step.graph->nnodes;
	struct kind kind[FSMOE_NKINDS] = {{0}};
	struct took sum = {0, 0}, step;
	struct part *part = calloc((size_t)n, sizeof(*part));
	double *held = calloc((size_t)n * (size_t)j->rounds, sizeof(*held));

	if (!part || !held)
		exit(1);
	step = whole_step(j, held);
	for (int i = 0; i < n; i++)
		make_part(j, i, &part[i]);
	run_parts(j, part, n);
	for (int i = 0; i < n; i++)
	{
		const int slowest = !FSMOE_KIND_IS_COMM(part[i].node.op->kind);
		const struct took alone = summary(part[i].seconds, j->rounds),
				  in_step =
					  summary(held + (size_t)i * (size_t)j->rounds, j->rounds);
		struct kind *k = &kind[part[i].node.op->kind];
		const double median = over_ranks(j, alone.median, slowest);

		k->alone += median;
		k->in_step += over_ranks(j, in_step.median, slowest);
		sum.median += median;
		sum.least += over_ranks(j, alone.least, slowest);
		fsmoe_program_destroy(part[i].program);
		free(part[i].seconds);
	}
	free(part);
	free(held);
	if (j->world->rank == 0)
		print(kind, step, sum, n, j->rounds);
}

int main(int argc, char **argv)
{
	struct job j = {.rounds = argc > 3 ? atoi(argv[3]) : 15};

	TRY(fsmoe_topo_create(&j.topo, NULL, argc > 1 ? atoi(argv[1]) : 2));
	TRY(fsmoe_groups_create(&j.groups, j.topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&j.rt, j.groups, NULL));
	j.world = fsmoe_comms_get(fsmoe_runtime_comms(j.rt), FSMOE_GROUP_WORLD);
	fsmoe_runtime_set_recording(j.rt, 1);
	TRY(fsmoe_model_spec_init(&j.spec, argc > 4 ? argv[4] : "quickstart"));
	fsmoe_train_opts_init(&j.opts);
	j.opts.batch = argc > 2 ? atoi(argv[2]) : 32;
	j.opts.seq = j.spec.seq;
	j.opts.schedule = fsmoe_schedule_find("ds-moe");
	TRY(fsmoe_step_create(&j.step, j.groups, fsmoe_model_forward, &j.spec, &j.opts));
	TRY(fsmoe_memory_create(&j.memory, j.step.graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(j.memory, 1));
	fill_inputs(&j);
	compare(&j);
	fsmoe_memory_destroy(j.memory);
	fsmoe_step_destroy(&j.step);
	fsmoe_runtime_stop(j.rt);
	fsmoe_groups_destroy(j.groups);
	fsmoe_topo_destroy(j.topo);
	return 0;
}
