/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "step/step.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/train.h>
#include <math.h>
#include <stdlib.h>

struct fsmoe_trainer
{
	fsmoe_runtime_t runtime;
	struct fsmoe_train_opts opts;
	struct fsmoe_step_graph step;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	uint64_t steps; /* done */
	int32_t *rows;  /* one micro-batch's tokens or targets */
};

void fsmoe_train_opts_init(struct fsmoe_train_opts *opts)
{
	*opts = (struct fsmoe_train_opts){
		.size = sizeof(*opts),
		.batch = 8,
		.microbatches = 1,
		.seq = 16,
		.optimizer = "adamw",
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-8,
		.weight_decay = 0.1,
		.clip = 1.0,
		.seed = 1,
	};
}

int fsmoe_trainer_create(fsmoe_trainer_t *trainer, fsmoe_runtime_t runtime,
			 fsmoe_forward_fn forward, void *arg, const struct fsmoe_train_opts *opts)
{
	struct fsmoe_trainer *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return fsmoe_fail(ENOMEM, "no memory for a trainer");
	t->runtime = runtime;
	t->opts = *opts;
	err = fsmoe_step_create(&t->step, fsmoe_runtime_groups(runtime), forward, arg, opts);
	if (!err)
		err = fsmoe_memory_create(&t->memory, t->step.graph, FSMOE_F32, NULL);
	if (!err)
		err = fsmoe_memory_init_params(t->memory, opts->seed);
	if (!err)
		err = fsmoe_program_create(&t->program, runtime, t->step.graph, t->memory);
	if (!err)
	{
		t->rows = malloc((size_t)opts->batch * (size_t)opts->seq * sizeof(*t->rows));
		if (!t->rows)
			err = fsmoe_fail(ENOMEM, "no memory for a batch");
	}
	if (err)
	{
		fsmoe_trainer_destroy(t);
		return err;
	}
	*trainer = t;
	return 0;
}

void fsmoe_trainer_destroy(fsmoe_trainer_t t)
{
	if (!t)
		return;
	fsmoe_program_destroy(t->program);
	fsmoe_memory_destroy(t->memory);
	if (t->step.graph)
		fsmoe_step_destroy(&t->step);
	free(t->rows);
	free(t);
}

/* This rank's share of one micro-batch of a (batch, seq) array: its data-parallel slice of the
 * samples, and of each its model-parallel slice of the tokens. */
static int write_share(struct fsmoe_trainer *t, int microbatch, fsmoe_tensor_t input,
		       const int32_t *global)
{
	fsmoe_groups_t groups = fsmoe_runtime_groups(t->runtime);
	const struct fsmoe_batch_spec *b = &t->step.batch[microbatch];
	int mp = fsmoe_group_size(groups, FSMOE_GROUP_MP),
	    mp_rank = fsmoe_group_rank(groups, FSMOE_GROUP_MP);
	int dp_rank = fsmoe_group_rank(groups, FSMOE_GROUP_DP), span = t->opts.seq / mp;
	int first = (dp_rank * t->step.microbatches + microbatch) * b->sequences;
	size_t n = 0;

	for (int s = 0; s < b->sequences; s++)
		for (int i = 0; i < span; i++)
			t->rows[n++] = global[(size_t)(first + s) * (size_t)t->opts.seq +
					      (size_t)(mp_rank * span + i)];
	return fsmoe_program_write(t->program, input, t->rows, n * sizeof(*t->rows));
}

int fsmoe_trainer_step(fsmoe_trainer_t t, const int32_t *tokens, const int32_t *targets, double lr,
		       struct fsmoe_train_result *result)
{
	struct fsmoe_step step = {.step = t->steps + 1, .seed = t->opts.seed, .lr = lr};
	double start = fsmoe_clock();
	float loss = 0, norm2 = 0;
	int err = 0;

	for (int i = 0; i < t->step.microbatches && !err; i++)
	{
		err = write_share(t, i, t->step.batch[i].tokens, tokens);
		if (!err)
			err = write_share(t, i, t->step.batch[i].targets, targets);
	}
	if (!err)
		err = fsmoe_program_submit(t->program, &step);
	if (!err)
		err = fsmoe_program_wait(t->program);
	if (!err)
		err = fsmoe_program_read(t->program, t->step.loss, &loss, sizeof(loss));
	if (!err)
		err = fsmoe_program_read(t->program, t->step.norm2, &norm2, sizeof(norm2));
	if (err)
		return err;
	t->steps++;
	*result =
		(struct fsmoe_train_result){.loss = loss,
					    .grad_norm = sqrt(norm2),
					    .seconds = fsmoe_clock() - start,
					    .tokens = (size_t)t->opts.batch * (size_t)t->opts.seq};
	return 0;
}

fsmoe_graph_t fsmoe_trainer_graph(fsmoe_trainer_t t)
{
	return t->step.graph;
}

fsmoe_memory_t fsmoe_trainer_memory(fsmoe_trainer_t t)
{
	return t->memory;
}

fsmoe_program_t fsmoe_trainer_program(fsmoe_trainer_t t)
{
	return t->program;
}
