/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "comm/comm.h"
#include "graph/memory.h"
#include "runtime/introspect.h"
#include "train/batch_shard.h"
#include "train/nonfinite.h"
#include "train/plan_agree.h"
#include "train/trainer.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/train.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fsmoe_trainer
{
	fsmoe_runtime_t runtime;
	struct fsmoe_forward forward;
	struct fsmoe_train_opts opts;
	struct fsmoe_step_graph step;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	struct fsmoe_expert_counter *counter;
	uint64_t steps; /* done */
	int32_t *rows;  /* one micro-batch's tokens or targets */
};

static struct fsmoe_comm *world_of(fsmoe_trainer_t t)
{
	return fsmoe_comms_get(fsmoe_runtime_comms(t->runtime), FSMOE_GROUP_WORLD);
}

/* Makes the program of the step, and the counter of its experts' tokens. */
static int make_program(fsmoe_trainer_t t)
{
	int err = fsmoe_program_create(&t->program, t->runtime, t->step.graph, t->memory);

	return err ? err
		   : fsmoe_expert_counter_create(&t->counter, t->step.graph, t->memory, t->program,
						 world_of(t));
}

static int start(fsmoe_trainer_t t)
{
	int err = fsmoe_memory_create(&t->memory, t->step.graph, FSMOE_F32, NULL);

	if (!err)
		err = fsmoe_memory_init_params(t->memory, t->opts.seed);
	if (!err)
		err = make_program(t);
	if (err)
		return err;
	t->rows = malloc((size_t)t->opts.global_batch * (size_t)t->opts.seq_length *
			 sizeof(*t->rows));
	return t->rows ? 0 : fsmoe_fail(ENOMEM, "no memory for a batch");
}

int fsmoe_trainer_create_from(fsmoe_trainer_t *trainer, fsmoe_runtime_t runtime,
			      struct fsmoe_step_graph *step, struct fsmoe_forward forward,
			      const struct fsmoe_train_opts *opts)
{
	struct fsmoe_trainer *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
	{
		if (step)
			fsmoe_step_destroy(step);
		return fsmoe_fail(ENOMEM, "no memory for a trainer");
	}
	*t = (struct fsmoe_trainer){.runtime = runtime, .forward = forward, .opts = *opts};
	t->opts.schedule = NULL; /* the caller's, and not needed later */
	t->opts.plan = NULL;
	if (step)
	{
		t->step = *step;
		*step = (struct fsmoe_step_graph){0};
	}
	/* Before the step is built, which may fail on the one rank that has another plan. */
	err = fsmoe_plan_agree(opts->plan, fsmoe_runtime_comms(runtime));
	if (!err && !step)
		err = fsmoe_step_create(&t->step, fsmoe_runtime_groups(runtime), forward, opts);
	if (!err)
		err = start(t);
	if (err)
		fsmoe_trainer_destroy(t);
	else
		*trainer = t;
	return err;
}

int fsmoe_trainer_create(fsmoe_trainer_t *trainer, fsmoe_runtime_t runtime,
			 struct fsmoe_forward forward, const struct fsmoe_train_opts *opts)
{
	return fsmoe_trainer_create_from(trainer, runtime, NULL, forward, opts);
}

int fsmoe_trainer_replan(fsmoe_trainer_t t, const struct fsmoe_schedule *schedule,
			 const struct fsmoe_plan *plan)
{
	struct fsmoe_train_opts opts = t->opts;
	struct fsmoe_step_graph step;
	fsmoe_memory_t old = t->memory;
	int err = fsmoe_plan_agree(plan, fsmoe_runtime_comms(t->runtime));

	opts.schedule = schedule;
	opts.plan = plan;
	if (!err)
		err = fsmoe_step_create(&step, fsmoe_runtime_groups(t->runtime), t->forward, &opts);
	if (err)
		return err;
	fsmoe_expert_counter_destroy(t->counter);
	fsmoe_program_destroy(t->program);
	t->counter = NULL;
	t->program = NULL;
	t->memory = NULL;
	err = fsmoe_memory_replace(&t->memory, step.graph, old);
	fsmoe_step_destroy(&t->step);
	t->step = step;
	return err ? err : make_program(t);
}

void fsmoe_trainer_destroy(fsmoe_trainer_t t)
{
	if (!t)
		return;
	fsmoe_expert_counter_destroy(t->counter);
	fsmoe_program_drop(t->program);
	fsmoe_memory_destroy(t->memory);
	fsmoe_step_destroy(&t->step);
	free(t->rows);
	free(t);
}

static int write_share(struct fsmoe_trainer *t, int micro_batch, fsmoe_tensor_t input,
		       const int32_t *global)
{
	const size_t n = fsmoe_batch_shard_rows(fsmoe_runtime_groups(t->runtime),
						&t->step.batch[micro_batch], micro_batch,
						t->step.micro_batches, global, t->rows);

	return fsmoe_program_write(t->program, input, t->rows, n * sizeof(*t->rows));
}

/* Reports where the NaN began. All ranks have the same norm, so none has updated a parameter.
 * `why`: the failure of this rank's own operation, "" if only the optimizer refused. */
static int not_finite(struct fsmoe_trainer *t, float loss, const char *why)
{
	char where[256];
	int err = fsmoe_nonfinite_blame(t->program, t->step.graph, world_of(t), why, where,
					sizeof(where));

	if (err)
		return err;
	return fsmoe_fail(EDOM, "step %llu: the %s not finite: %s", (unsigned long long)t->steps,
			  isfinite(loss) ? "gradient is" : "loss is", where);
}

int fsmoe_trainer_step(fsmoe_trainer_t t, const int32_t *tokens, const int32_t *targets, double lr,
		       struct fsmoe_train_result *result)
{
	struct fsmoe_step step = {.step = t->steps + 1, .seed = t->opts.seed, .lr = lr};
	double start = fsmoe_clock();
	const fsmoe_tensor_t results[2] = {t->step.loss, t->step.norm2};
	float loss = NAN, norm2 = NAN;
	char why[256] = "";
	int err = fsmoe_program_write(t->program, t->step.norm2, &norm2, sizeof(norm2));

	for (int i = 0; i < t->step.micro_batches && !err; i++)
	{
		err = write_share(t, i, t->step.batch[i].tokens, tokens);
		if (!err)
			err = write_share(t, i, t->step.batch[i].targets, targets);
	}
	if (!err)
		err = fsmoe_program_submit(t->program, &step);
	if (err)
		return err;
	err = fsmoe_program_wait(t->program);
	if (err && err != -EDOM)
		return err;
	if (err && strncmp(fsmoe_last_error(), t->opts.optimizer, strlen(t->opts.optimizer)))
		snprintf(why, sizeof(why), "%s", fsmoe_last_error());
	if (fsmoe_program_pull(t->program, results, 2) ||
	    fsmoe_program_read(t->program, t->step.loss, &loss, sizeof(loss)) ||
	    fsmoe_program_read(t->program, t->step.norm2, &norm2, sizeof(norm2)))
		return -EIO;
	t->steps++;
	if (!isfinite(loss) || !isfinite(norm2))
		return not_finite(t, loss, why);
	if (err)
		return err;
	*result = (struct fsmoe_train_result){.loss = loss,
					      .grad_norm = sqrt(norm2),
					      .seconds = fsmoe_clock() - start,
					      .tokens = (size_t)t->opts.global_batch *
							(size_t)t->opts.seq_length};
	return 0;
}

int fsmoe_trainer_meet(fsmoe_trainer_t t, int stop, int *stops, struct fsmoe_expert_load *load)
{
	double asked;
	int err = fsmoe_expert_counter_add_up(t->counter, stop != 0, &asked, load);

	if (!err)
		*stops = (int)asked;
	return err;
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

struct fsmoe_forward fsmoe_trainer_forward(fsmoe_trainer_t t)
{
	return t->forward;
}

fsmoe_runtime_t fsmoe_trainer_runtime(fsmoe_trainer_t t)
{
	return t->runtime;
}

const struct fsmoe_train_opts *fsmoe_trainer_opts(fsmoe_trainer_t t)
{
	return &t->opts;
}

uint64_t fsmoe_trainer_steps(fsmoe_trainer_t t)
{
	return t->steps;
}

void fsmoe_trainer_restore(fsmoe_trainer_t t, uint64_t steps, uint64_t seed)
{
	t->steps = steps;
	t->opts.seed = seed;
}
