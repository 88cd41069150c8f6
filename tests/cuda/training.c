/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "check.h"
#include "step/step.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <fsmoe/ops.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Five training steps of each preset on CPU and GPU: losses and norms of gradients agree to
 * rounding, under the stream walker and under StarPU, a node a task and by chains; no step
 * allocates or frees on the device or waits for all of it. On several MPI ranks each has a GPU of
 * its own, and NCCL carries the collectives. */

enum
{
	STEPS = 5
};

struct job
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t runtime;
	int rank;
};

static void draw_batch(const struct fsmoe_step_graph *s, fsmoe_memory_t memory, int rank, int vocab,
		       uint64_t step)
{
	for (int i = 0; i < s->microbatches; i++)
	{
		int32_t *tokens = fsmoe_memory_data(memory, s->batch[i].tokens),
			*targets = fsmoe_memory_data(memory, s->batch[i].targets);
		int n;
		size_t rows = fsmoe_shape_count(
			&fsmoe_graph_tensors(s->graph, &n)[s->batch[i].tokens].shape);
		for (size_t k = 0; k < rows; k++)
		{
			uint64_t key = step * 64 + (uint64_t)(rank * 8 + i);
			tokens[k] = (int32_t)(fsmoe_rng_bits(key, k) % (uint64_t)vocab);
			targets[k] = (tokens[k] * 7 + 3) % vocab;
		}
	}
}

static void write_batch(const struct fsmoe_step_graph *s, fsmoe_program_t program,
			fsmoe_memory_t memory)
{
	for (int i = 0; i < s->microbatches; i++)
	{
		const fsmoe_tensor_t inputs[2] = {s->batch[i].tokens, s->batch[i].targets};
		for (int k = 0; k < 2; k++)
		{
			int n;
			size_t bytes =
				4 * fsmoe_shape_count(
					    &fsmoe_graph_tensors(s->graph, &n)[inputs[k]].shape);
			TRY(fsmoe_program_write(program, inputs[k],
						fsmoe_memory_data(memory, inputs[k]), bytes));
		}
	}
}

static float read_one(fsmoe_program_t program, fsmoe_tensor_t tensor)
{
	float x = NAN;

	TRY(fsmoe_program_read(program, tensor, &x, sizeof(x)));
	return x;
}

/* Relative; losses and norms are sums of many terms, and five steps add up. */
static int far(const char *what, uint64_t step, double gpu, double cpu)
{
	if (fabs(gpu - cpu) <= 1e-4 * fmax(1, fabs(cpu)))
		return 0;
	printf("step %d: %s is %.9g on the GPU, %.9g on the CPU\n", (int)step, what, gpu, cpu);
	return 1;
}

static int run_steps(const struct job *job, const struct fsmoe_step_graph *s, int vocab)
{
	fsmoe_memory_t cpu, gpu;
	fsmoe_program_t program;
	struct cuda_calls before;
	float loss[STEPS], norm2[STEPS];
	int bad = 0;

	TRY(fsmoe_memory_create(&cpu, s->graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_create(&gpu, s->graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(cpu, 3));
	TRY(fsmoe_memory_init_params(gpu, 3));
	TRY(fsmoe_program_create(&program, job->runtime, s->graph, gpu));
	before = count_cuda_calls();
	for (uint64_t i = 0; i < STEPS; i++)
	{
		draw_batch(s, cpu, job->rank, vocab, i);
		write_batch(s, program, cpu);
		TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = i + 1, .lr = 1e-3}));
		TRY(fsmoe_program_wait(program));
		loss[i] = read_one(program, s->loss);
		norm2[i] = read_one(program, s->norm2);
	}
	bad += count_is_idle(&before);
	for (uint64_t i = 0; i < STEPS; i++)
	{
		draw_batch(s, cpu, job->rank, vocab, i);
		TRY(fsmoe_graph_execute(s->graph, cpu, fsmoe_runtime_comms(job->runtime),
					&(struct fsmoe_step){.step = i + 1, .lr = 1e-3}));
		float want = *(float *)fsmoe_memory_data(cpu, s->loss);
		float want2 = *(float *)fsmoe_memory_data(cpu, s->norm2);
		bad += far("the loss", i + 1, loss[i], want);
		bad += far("the squared norm", i + 1, norm2[i], want2);
		if (job->rank == 0)
			printf("  step %d: loss GPU %.7f CPU %.7f, norm GPU %.7f CPU %.7f\n",
			       (int)i + 1, loss[i], want, sqrt((double)norm2[i]),
			       sqrt((double)want2));
	}
	fsmoe_program_destroy(program);
	fsmoe_memory_destroy(gpu);
	fsmoe_memory_destroy(cpu);
	return bad;
}

static int train(const struct job *job, const char *preset, int microbatches, int degree)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_step_graph step;
	int bad;

	TRY(fsmoe_model_spec_init(&spec, preset));
	fsmoe_train_opts_init(&opts);
	spec.forward_degree = degree;
	spec.backward_degree = degree > 1 ? degree + 1 : 1;
	opts.microbatches = microbatches;
	opts.seq = spec.seq;
	opts.batch = 8;
	if (job->rank == 0)
		printf("preset %s, %d micro-batches, degree %d\n", preset, microbatches, degree);
	TRY(fsmoe_step_create(&step, job->groups, fsmoe_model_forward, &spec, &opts));
	bad = run_steps(job, &step, spec.vocab);
	fsmoe_step_destroy(&step);
	return bad;
}

static const struct way
{
	const char *executor;
	int chain, ahead;
	const char *cta_policy;
} ways[] = {{"stream", 0, 0, "default"}, {"starpu", 0, 1, "default"}, {"starpu", 1, 0, "default"},
	    {"starpu", 1, 1, "default"}, {"starpu", 2, 1, "default"}, {"stream", 0, 0, "zero"},
	    {"starpu", 2, 1, "zero"}};

static void start(struct job *job, const struct way *way)
{
	struct fsmoe_runtime_opts opts;

	fsmoe_runtime_opts_init(&opts);
	opts.device = "cuda";
	opts.executor = way->executor;
	opts.chain = way->chain;
	opts.ahead = way->ahead;
	opts.cta_policy = way->cta_policy;
	TRY(fsmoe_runtime_start(&job->runtime, job->groups, &opts));
}

int check_training(void)
{
	struct job job = {0};
	int bad = 0;

	TRY(fsmoe_topo_create(&job.topo, NULL, 0));
	TRY(fsmoe_groups_create(&job.groups, job.topo, &(struct fsmoe_layout){0}));
	job.rank = fsmoe_topo_rank(job.topo);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
	{
		if (job.rank == 0)
			printf("executor %s, chains %d, ahead %d, CTA policy %s\n",
			       ways[i].executor, ways[i].chain, ways[i].ahead, ways[i].cta_policy);
		start(&job, &ways[i]);
		bad += train(&job, "tiny", 1, 1);
		bad += train(&job, "tiny", 2, 2);
		bad += train(&job, "quickstart", 1, i % 2 ? 3 : 1);
		fsmoe_runtime_stop(job.runtime);
	}
	fsmoe_groups_destroy(job.groups);
	fsmoe_topo_destroy(job.topo);
	return bad;
}

/* A token that there is not fails the step with a sentence, and not the one after it. */
static int fault(const struct way *way)
{
	const struct fsmoe_param_spec table = {.name = "table", .global = FSMOE_SHAPE2(5, 3)};
	const int32_t bad[2] = {1, 5}, good[2] = {1, 4};
	struct job job = {0};
	fsmoe_program_t program;
	fsmoe_memory_t memory;
	fsmoe_graph_t graph;
	int failures = 0, err;

	start(&job, way);
	TRY(fsmoe_graph_create(&graph, NULL));
	fsmoe_tensor_t tokens = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(2), "tokens");
	fsmoe_embedding(graph, tokens, fsmoe_graph_param(graph, &table), FSMOE_NONE, 0, 0);
	TRY(fsmoe_memory_create(&memory, graph, FSMOE_F32, NULL));
	TRY(fsmoe_program_create(&program, job.runtime, graph, memory));
	TRY(fsmoe_program_write(program, tokens, bad, sizeof(bad)));
	TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = 1}));
	err = fsmoe_program_wait(program);
	printf("%s, a bad token: %s\n", way->executor, err ? fsmoe_last_error() : "no failure");
	failures += !err || !strstr(fsmoe_last_error(), "token 5 of row 1");
	TRY(fsmoe_program_write(program, tokens, good, sizeof(good)));
	TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = 2}));
	failures += fsmoe_program_wait(program) != 0;
	fsmoe_program_destroy(program);
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(graph);
	fsmoe_runtime_stop(job.runtime);
	return failures;
}

int check_faults(void)
{
	return fault(&ways[0]) + fault(&ways[2]) + fault(&ways[3]);
}
