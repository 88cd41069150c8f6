/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "check.h"
#include "comm/comm.h"
#include "comm/device.h"
#include "runtime/device.h"
#include "step/step.h"
#include "topo/topo.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <fsmoe/ops.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Five training steps of each preset on CPU and GPU: losses and norms of gradients agree to
 * rounding. On several MPI ranks each has a GPU of its own, and NCCL carries the collectives. */

enum
{
	STEPS = 5
};

struct job
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_comms_t comms;
	int rank, device;
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

static void upload_batch(const struct fsmoe_step_graph *s, struct fsmoe_device_memory *gpu,
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
			TRY(fsmoe_device_memory_write(gpu, inputs[k],
						      fsmoe_memory_data(memory, inputs[k]), bytes));
		}
	}
}

static float read_one(struct fsmoe_device_memory *gpu, fsmoe_tensor_t tensor)
{
	float x = NAN;

	TRY(fsmoe_device_memory_read(gpu, tensor, &x, sizeof(x)));
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
	fsmoe_memory_t cpu;
	struct fsmoe_device_memory *gpu;
	struct fsmoe_stream *stream;
	int bad = 0;

	TRY(fsmoe_memory_create(&cpu, s->graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(cpu, 3));
	TRY(fsmoe_device_memory_create(&gpu, s->graph, job->device));
	TRY(fsmoe_device_memory_fill(gpu, 0xff));
	TRY(fsmoe_device_memory_upload(gpu, cpu));
	TRY(fsmoe_stream_create(&stream, s->graph, gpu, job->comms, NULL));
	for (uint64_t i = 1; i <= STEPS; i++)
	{
		const struct fsmoe_step step = {.step = i, .lr = 1e-3};
		draw_batch(s, cpu, job->rank, vocab, i);
		upload_batch(s, gpu, cpu);
		TRY(fsmoe_stream_submit(stream, &step));
		TRY(fsmoe_stream_wait(stream));
		TRY(fsmoe_graph_execute(s->graph, cpu, job->comms, &step));
		float loss = *(float *)fsmoe_memory_data(cpu, s->loss);
		float norm2 = *(float *)fsmoe_memory_data(cpu, s->norm2);
		bad += far("the loss", i, read_one(gpu, s->loss), loss);
		bad += far("the squared norm", i, read_one(gpu, s->norm2), norm2);
		if (job->rank == 0)
			printf("  step %d: loss GPU %.7f CPU %.7f, norm GPU %.7f CPU %.7f\n",
			       (int)i, read_one(gpu, s->loss), loss,
			       sqrt((double)read_one(gpu, s->norm2)), sqrt((double)norm2));
	}
	fsmoe_stream_destroy(stream);
	fsmoe_device_memory_destroy(gpu);
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

int check_training(void)
{
	struct job job = {0};
	int bad = 0, gpus = fsmoe_device_count();

	TRY(fsmoe_topo_create(&job.topo, NULL, 0));
	TRY(fsmoe_groups_create(&job.groups, job.topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_comms_create(&job.comms, job.groups));
	job.rank = fsmoe_topo_rank(job.topo);
	job.device = fsmoe_topo_host_rank(job.topo) % gpus;
	/* The communicators are made for this thread's device, which the first memory chooses. */
	fsmoe_graph_t none;
	struct fsmoe_device_memory *nothing;
	TRY(fsmoe_graph_create(&none, NULL));
	TRY(fsmoe_device_memory_create(&nothing, none, job.device));
	TRY(fsmoe_device_comms_create(job.comms));
	bad += train(&job, "tiny", 1, 1);
	bad += train(&job, "tiny", 2, 2);
	bad += train(&job, "quickstart", 1, 1);
	bad += train(&job, "quickstart", 1, 3);
	fsmoe_device_comms_destroy(job.comms);
	fsmoe_device_memory_destroy(nothing);
	fsmoe_graph_destroy(none);
	fsmoe_comms_destroy(job.comms);
	fsmoe_groups_destroy(job.groups);
	fsmoe_topo_destroy(job.topo);
	return bad;
}

/* A token that there is not fails the step with a sentence, and not the one after it. */
int check_faults(void)
{
	const struct fsmoe_param_spec table = {.name = "table", .global = FSMOE_SHAPE2(5, 3)};
	const int32_t bad[2] = {1, 5}, good[2] = {1, 4};
	struct fsmoe_device_memory *gpu;
	struct fsmoe_stream *stream;
	fsmoe_graph_t graph;
	int failures = 0;

	TRY(fsmoe_graph_create(&graph, NULL));
	fsmoe_tensor_t tokens = fsmoe_graph_input(graph, FSMOE_INT32, FSMOE_SHAPE1(2), "tokens");
	fsmoe_embedding(graph, tokens, fsmoe_graph_param(graph, &table), FSMOE_NONE, 0, 0);
	TRY(fsmoe_device_memory_create(&gpu, graph, 0));
	TRY(fsmoe_stream_create(&stream, graph, gpu, NULL, NULL));
	TRY(fsmoe_device_memory_write(gpu, tokens, bad, sizeof(bad)));
	TRY(fsmoe_stream_submit(stream, NULL));
	int err = fsmoe_stream_wait(stream);
	printf("a bad token: %s\n", err ? fsmoe_last_error() : "no failure");
	failures += !err || !strstr(fsmoe_last_error(), "token 5 of row 1");
	TRY(fsmoe_device_memory_write(gpu, tokens, good, sizeof(good)));
	TRY(fsmoe_stream_submit(stream, NULL));
	failures += fsmoe_stream_wait(stream) != 0;
	fsmoe_stream_destroy(stream);
	fsmoe_device_memory_destroy(gpu);
	fsmoe_graph_destroy(graph);
	return failures;
}
