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

/* The training, and its results on the CPU, to which all executors are held. */
struct course
{
	const char *preset;
	int microbatches, degree;
	int known;
	float loss[STEPS], norm2[STEPS];
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
	for (int i = 0; i < s->micro_batches; i++)
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
	for (int i = 0; i < s->micro_batches; i++)
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
static int far(const char *what, int step, double gpu, double cpu)
{
	if (fabs(gpu - cpu) <= 1e-4 * fmax(1, fabs(cpu)))
		return 0;
	printf("step %d: %s is %.9g on the GPU, %.9g on the CPU\n", step, what, gpu, cpu);
	return 1;
}

/* Every rank in the same course: the collectives are the job's. */
static void train_on_cpu(const struct job *job, const struct fsmoe_step_graph *s, int vocab,
			 struct course *course)
{
	fsmoe_memory_t memory;

	TRY(fsmoe_memory_create(&memory, s->graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(memory, 3));
	for (uint64_t i = 0; i < STEPS; i++)
	{
		draw_batch(s, memory, job->rank, vocab, i);
		TRY(fsmoe_graph_execute(s->graph, memory, fsmoe_runtime_comms(job->runtime),
					&(struct fsmoe_step){.step = i + 1, .lr = 1e-3}));
		course->loss[i] = *(float *)fsmoe_memory_data(memory, s->loss);
		course->norm2[i] = *(float *)fsmoe_memory_data(memory, s->norm2);
	}
	fsmoe_memory_destroy(memory);
	course->known = 1;
}

static int compare(const struct job *job, const struct course *course, int i, float loss,
		   float norm2)
{
	if (job->rank == 0)
		printf("  step %d: loss GPU %.7f CPU %.7f, norm GPU %.7f CPU %.7f\n", i + 1, loss,
		       course->loss[i], sqrt((double)norm2), sqrt((double)course->norm2[i]));
	return far("the loss", i + 1, loss, course->loss[i]) +
	       far("the squared norm", i + 1, norm2, course->norm2[i]);
}

static int run_steps(const struct job *job, const struct fsmoe_step_graph *s, int vocab,
		     const struct course *course)
{
	fsmoe_memory_t batch, memory;
	fsmoe_program_t program;
	struct cuda_calls before;
	float loss[STEPS], norm2[STEPS];
	int bad = 0;

	TRY(fsmoe_memory_create(&batch, s->graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_create(&memory, s->graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(memory, 3));
	TRY(fsmoe_program_create(&program, job->runtime, s->graph, memory));
	before = count_cuda_calls();
	for (uint64_t i = 0; i < STEPS; i++)
	{
		draw_batch(s, batch, job->rank, vocab, i);
		write_batch(s, program, batch);
		TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = i + 1, .lr = 1e-3}));
		TRY(fsmoe_program_wait(program));
		loss[i] = read_one(program, s->loss);
		norm2[i] = read_one(program, s->norm2);
	}
	bad += count_is_idle(&before);
	for (int i = 0; i < STEPS; i++)
		bad += compare(job, course, i, loss[i], norm2[i]);
	fsmoe_program_destroy(program);
	fsmoe_memory_destroy(memory);
	fsmoe_memory_destroy(batch);
	return bad;
}

static int train(const struct job *job, struct course *course)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_step_graph step;
	int bad;

	TRY(fsmoe_model_spec_init(&spec, course->preset));
	fsmoe_train_opts_init(&opts);
	spec.forward_degree = course->degree;
	spec.backward_degree = course->degree > 1 ? course->degree + 1 : 1;
	opts.micro_batches = course->microbatches;
	opts.seq_length = spec.seq_length;
	opts.global_batch = 8;
	if (job->rank == 0)
		printf("preset %s, %d micro-batches, degree %d\n", course->preset,
		       course->microbatches, course->degree);
	TRY(fsmoe_step_create(&step, job->groups, fsmoe_model_as_forward(&spec), &opts));
	if (!course->known)
		train_on_cpu(job, &step, spec.vocab_size, course);
	bad = run_steps(job, &step, spec.vocab_size, course);
	fsmoe_step_destroy(&step);
	return bad;
}

static const struct way
{
	const char *executor;
	int fuse, early_release;
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
	opts.fuse = way->fuse;
	opts.early_release = way->early_release;
	opts.cta_policy = way->cta_policy;
	TRY(fsmoe_runtime_start(&job->runtime, job->groups, &opts));
}

int check_training(void)
{
	struct course tiny = {"tiny", 1, 1}, chunked = {"tiny", 2, 2};
	struct course quickstart[] = {{"quickstart", 1, 1}, {"quickstart", 1, 3}};
	struct job job = {0};
	int bad = 0;

	TRY(fsmoe_topo_create(&job.topo, NULL, 0));
	TRY(fsmoe_groups_create(&job.groups, job.topo, &(struct fsmoe_layout){0}));
	job.rank = fsmoe_topo_rank(job.topo);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
	{
		if (job.rank == 0)
			printf("executor %s, fuse %d, early release %d, CTA policy %s\n",
			       ways[i].executor, ways[i].fuse, ways[i].early_release,
			       ways[i].cta_policy);
		start(&job, &ways[i]);
		bad += train(&job, &tiny);
		bad += train(&job, &chunked);
		bad += train(&job, &quickstart[i % 2]);
		fsmoe_runtime_stop(job.runtime);
	}
	fsmoe_groups_destroy(job.groups);
	fsmoe_topo_destroy(job.topo);
	return bad;
}

/* A token out of range fails its step with a sentence, and not the step after it. */
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
