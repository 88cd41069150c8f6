/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "gpu/device.h"
#include "step/step.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/*
 * Training steps of a preset in bf16 on the GPU beside float on the CPU: losses stay within a band,
 * and the copies that the optimizer writes beside the parameters are the parameters rounded, since
 * a second memory, filled from what the first one's parameters have become, has the same loss to
 * the last bit.
 */

enum
{
	STEPS = 20
};

/* A bf16 loss is a mean over tokens of numbers that are off by 2^-8 of a logit or so in either
 * direction; 20 steps at this rate change weights by less than that again. */
static const double BAND = 0.01;

static void fill_batch(const struct fsmoe_step_graph *s, fsmoe_memory_t memory, int vocab)
{
	for (int i = 0; i < s->micro_batches; i++)
	{
		int n;
		const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(s->graph, &n);
		size_t rows = fsmoe_shape_count(&t[s->batch[i].tokens].shape);
		int32_t *tokens = fsmoe_memory_data(memory, s->batch[i].tokens);
		int32_t *targets = fsmoe_memory_data(memory, s->batch[i].targets);
		for (size_t k = 0; k < rows; k++)
		{
			tokens[k] = (int32_t)((k * 7919 + (size_t)i * 13) % (size_t)vocab);
			targets[k] = (tokens[k] * 5 + 1) % vocab;
		}
	}
}

static float one_step(struct fsmoe_stream *stream, struct fsmoe_device_memory *gpu,
		      fsmoe_tensor_t loss, uint64_t step, double lr)
{
	float x = NAN;

	TRY(fsmoe_stream_submit(stream, &(struct fsmoe_step){.step = step, .lr = lr}));
	TRY(fsmoe_stream_wait(stream));
	TRY(fsmoe_device_memory_read(gpu, loss, &x, sizeof(x)));
	return x;
}

/* Whether a memory filled from `first` has the loss that `first` has. */
static int copies_differ(const struct fsmoe_step_graph *s, fsmoe_memory_t memory,
			 struct fsmoe_stream *stream, struct fsmoe_device_memory *first)
{
	struct fsmoe_device_memory *second;
	struct fsmoe_stream *other;
	float a, b;

	TRY(fsmoe_device_memory_download(first, memory));
	TRY(fsmoe_device_memory_create_as(&second, s->graph, 0, FSMOE_BF16));
	TRY(fsmoe_device_memory_upload(second, memory));
	TRY(fsmoe_stream_create(&other, s->graph, second, NULL, NULL));
	a = one_step(stream, first, s->loss, STEPS + 1, 0);
	b = one_step(other, second, s->loss, STEPS + 1, 0);
	printf("  copies by the optimizer: loss %.9g, made anew: %.9g\n", (double)a, (double)b);
	fsmoe_stream_destroy(other);
	fsmoe_device_memory_destroy(second);
	return memcmp(&a, &b, sizeof(a)) != 0;
}

static int train(const struct fsmoe_step_graph *s, int vocab)
{
	struct fsmoe_device_memory *gpu;
	struct fsmoe_stream *stream;
	fsmoe_memory_t memory;
	double worst = 0;
	int bad = 0;

	TRY(fsmoe_memory_create(&memory, s->graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(memory, 3));
	fill_batch(s, memory, vocab);
	TRY(fsmoe_device_memory_create_as(&gpu, s->graph, 0, FSMOE_BF16));
	TRY(fsmoe_device_memory_upload(gpu, memory));
	TRY(fsmoe_stream_create(&stream, s->graph, gpu, NULL, NULL));
	for (uint64_t i = 1; i <= STEPS; i++)
	{
		const struct fsmoe_step step = {.step = i, .lr = 1e-3};
		double got = (double)one_step(stream, gpu, s->loss, i, step.lr), want;
		TRY(fsmoe_graph_execute(s->graph, memory, NULL, &step));
		want = (double)*(float *)fsmoe_memory_data(memory, s->loss);
		worst = fmax(worst, fabs(got - want) / want);
		bad += !(fabs(got - want) <= BAND * want);
		if (i == 1 || i == STEPS || !(fabs(got - want) <= BAND * want))
			printf("  step %d: loss bf16 %.6f, CPU %.6f\n", (int)i, got, want);
	}
	printf("  worst difference of a loss: %.2g of it\n", worst);
	bad += copies_differ(s, memory, stream, gpu);
	fsmoe_stream_destroy(stream);
	fsmoe_device_memory_destroy(gpu);
	fsmoe_memory_destroy(memory);
	return bad;
}

int check_bf16(void)
{
	static const char *const presets[] = {"tiny", "quickstart"};
	int bad = 0;

	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
	{
		struct fsmoe_model_spec spec;
		struct fsmoe_train_opts opts;
		struct fsmoe_step_graph step;
		TRY(fsmoe_model_spec_init(&spec, presets[i]));
		fsmoe_train_opts_init(&opts);
		opts.seq_length = spec.seq_length;
		opts.global_batch = 4;
		printf("preset %s in bf16\n", presets[i]);
		TRY(fsmoe_step_create(&step, NULL, fsmoe_model_as_forward(&spec), &opts));
		bad += train(&step, spec.vocab_size);
		fsmoe_step_destroy(&step);
	}
	return bad;
}
