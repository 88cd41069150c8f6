/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "tests/lib/try.h"
#include "train/eval.h"
#include "train/memory_estimate.h"
#include "train/trainer.h"

#include <fsmoe.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A training takes the predicted memory of a GPU, within a tenth: the step's program, the
 * evaluation's, and everything that the first steps allocate. */

static const struct
{
	const char *executor, *dtype, *preset;
	int batch;
} cases[] = {
	{"stream", "fp32", "quickstart", 8},   {"starpu", "fp32", "quickstart", 8},
	{"starpu", "bf16", "quickstart", 8},   {"stream", "fp32", "quickstart", 128},
	{"stream", "bf16", "quickstart", 128}, {"starpu", "fp32", "quickstart", 128},
	{"starpu", "bf16", "quickstart", 128},
};

static size_t taken(fsmoe_runtime_t runtime)
{
	struct fsmoe_gpu_memory room;

	TRY(fsmoe_runtime_gpu_memory(runtime, NULL, 0, &room));
	return room.all - room.left;
}

/* Memory taken in the end. */
static size_t train(fsmoe_runtime_t runtime, struct fsmoe_model_spec *spec,
		    const struct fsmoe_train_opts *opts, size_t *predicted)
{
	const struct fsmoe_objective objective = {.vocab_size = spec->vocab_size,
						  .seq_length = spec->seq_length};
	const size_t n = (size_t)opts->global_batch * (size_t)opts->seq_length;
	int32_t *tokens = calloc(n, sizeof(*tokens));
	struct fsmoe_train_result result;
	fsmoe_trainer_t trainer;
	struct fsmoe_forward_graph forward;
	struct fsmoe_step_graph step;
	struct fsmoe_gpu_memory room;
	struct fsmoe_eval *eval;
	size_t bytes;

	TRY(tokens ? 0 : -1);
	for (size_t k = 0; k < n; k++)
		tokens[k] = (int32_t)(k * 7919 % (size_t)spec->vocab_size);
	TRY(fsmoe_step_create(&step, NULL, fsmoe_model_as_forward(spec), opts));
	TRY(fsmoe_eval_graph(&forward, NULL, fsmoe_model_as_forward(spec), opts->global_batch,
			     &objective));
	TRY(fsmoe_runtime_gpu_memory(runtime, (fsmoe_graph_t[]){step.graph, forward.graph}, 2,
				     &room));
	*predicted = room.need;
	TRY(fsmoe_trainer_create_from(&trainer, runtime, &step, fsmoe_model_as_forward(spec),
				      opts));
	TRY(fsmoe_eval_create(&eval, runtime, &forward, opts->global_batch, &objective,
			      fsmoe_trainer_memory(trainer)));
	bytes = taken(runtime);
	for (int i = 0; i < 3; i++)
		TRY(fsmoe_trainer_step(trainer, tokens, tokens, 1e-3, &result));
	printf("  made: %zu MiB, after three steps: %zu MiB\n", bytes >> 20, taken(runtime) >> 20);
	bytes = taken(runtime);
	fsmoe_eval_destroy(eval);
	fsmoe_trainer_destroy(trainer);
	free(tokens);
	return bytes;
}

static int check(size_t i)
{
	struct fsmoe_runtime_opts runtime_opts;
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	fsmoe_runtime_t runtime;
	size_t before, need, predicted, got;
	double off;

	fsmoe_runtime_opts_init(&runtime_opts);
	runtime_opts.device = "cuda";
	runtime_opts.executor = cases[i].executor;
	runtime_opts.dtype = cases[i].dtype;
	TRY(fsmoe_model_spec_init(&spec, cases[i].preset));
	fsmoe_train_opts_init(&opts);
	opts.seq_length = spec.seq_length;
	opts.global_batch = cases[i].batch;
	TRY(fsmoe_runtime_start(&runtime, NULL, &runtime_opts));
	before = taken(runtime);
	got = train(runtime, &spec, &opts, &need);
	predicted = before + need;
	fsmoe_runtime_stop(runtime);
	off = ((double)predicted - (double)got) / (double)got;
	printf("%s in %s, batch %d, by %s: %zu MiB before, %zu MiB predicted besides, %zu MiB "
	       "taken besides; in all off by %.1f %%\n",
	       cases[i].preset, cases[i].dtype, cases[i].batch, cases[i].executor, before >> 20,
	       need >> 20, (got - before) >> 20, 100 * off);
	return !(fabs(off) <= 0.1);
}

int check_room(void)
{
	int bad = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		bad += check(i);
	return bad;
}
