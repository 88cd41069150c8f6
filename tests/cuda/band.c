/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "check.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * 200 training steps of a preset on a GPU, on tokens that can be half guessed: in bf16 the losses
 * are those of float within a band, and under StarPU they are those of bare streams to the last
 * bit.
 */

enum
{
	STEPS = 200,
	LAST = 50
};

/* Bounds of a step's loss, and of the mean of the last losses, in which differences average out.
 * Weights and batches are the same. Only rounding differs, 2^-9 of every activation, amplified by
 * routing and training; TF32 goes as far from float. */
static const double BAND = 0.05, MEAN_BAND = 0.005;

static void draw(int32_t *tokens, int32_t *targets, size_t n, int vocab, uint64_t step)
{
	for (size_t k = 0; k < n; k++)
	{
		const uint64_t bits = fsmoe_rng_bits(step, k);

		tokens[k] = (int32_t)(bits % (uint64_t)vocab);
		targets[k] = (tokens[k] * 7 + 3 + (int32_t)(bits >> 60 & 1)) % vocab;
	}
}

static void train(const char *preset, const char *executor, const char *dtype, double *loss)
{
	struct fsmoe_runtime_opts runtime_opts;
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_train_result result;
	fsmoe_runtime_t runtime;
	fsmoe_trainer_t trainer;
	int32_t *tokens, *targets;
	size_t n;

	fsmoe_runtime_opts_init(&runtime_opts);
	runtime_opts.device = "cuda";
	runtime_opts.executor = executor;
	runtime_opts.dtype = dtype;
	TRY(fsmoe_model_spec_init(&spec, preset));
	fsmoe_train_opts_init(&opts);
	opts.seq_length = spec.seq_length;
	opts.global_batch = 8;
	n = (size_t)opts.global_batch * (size_t)opts.seq_length;
	tokens = calloc(n, sizeof(*tokens));
	targets = calloc(n, sizeof(*targets));
	TRY(tokens && targets ? 0 : -1);
	TRY(fsmoe_runtime_start(&runtime, NULL, &runtime_opts));
	TRY(fsmoe_trainer_create(&trainer, runtime, fsmoe_model_as_forward(&spec), &opts));
	for (uint64_t i = 0; i < STEPS; i++)
	{
		draw(tokens, targets, n, spec.vocab_size, i + 1);
		TRY(fsmoe_trainer_step(trainer, tokens, targets, 1e-3, &result));
		loss[i] = result.loss;
	}
	fsmoe_trainer_destroy(trainer);
	fsmoe_runtime_stop(runtime);
	free(tokens);
	free(targets);
}

static double mean_of_last(const double *loss)
{
	double sum = 0;

	for (int i = STEPS - LAST; i < STEPS; i++)
		sum += loss[i];
	return sum / LAST;
}

static int check(const char *preset)
{
	static double fp32[STEPS], stream[STEPS], starpu[STEPS];
	double worst = 0, last;
	int differ = 0;

	train(preset, "stream", "fp32", fp32);
	train(preset, "stream", "bf16", stream);
	train(preset, "starpu", "bf16", starpu);
	for (int i = 0; i < STEPS; i++)
	{
		worst = fmax(worst, fabs(stream[i] - fp32[i]) / fp32[i]);
		differ += starpu[i] != stream[i];
	}
	last = fabs(mean_of_last(stream) - mean_of_last(fp32)) / mean_of_last(fp32);
	printf("preset %s: loss %.4f, after %d steps fp32 %.4f bf16 %.4f; bf16 off by at most %.2g "
	       "of a step's loss, by %.2g of the mean of the last %d; %d steps differ under "
	       "StarPU\n",
	       preset, fp32[0], STEPS, fp32[STEPS - 1], stream[STEPS - 1], worst, last, LAST,
	       differ);
	return !(worst <= BAND) + !(last <= MEAN_BAND) + (differ > 0);
}

int check_band(void)
{
	return check("tiny") + check("quickstart");
}
