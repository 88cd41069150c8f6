/* SPDX-License-Identifier: Apache-2.0 */
#include "train/eval.h"

#include "base/clock.h"
#include "runtime/introspect.h"
#include "train/share.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/ops.h>
#include <math.h>
#include <stdlib.h>

struct fsmoe_eval
{
	fsmoe_groups_t groups;
	int batch, seq;
	struct fsmoe_objective objective;
	struct fsmoe_batch_spec spec;
	fsmoe_graph_t graph;
	fsmoe_tensor_t loss; /* (1), mean over the rows of the global batch */
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	int32_t *tokens, *targets, *rows;
};

static int build(struct fsmoe_eval *e, fsmoe_forward_fn forward, void *arg)
{
	const int dp = fsmoe_group_size(e->groups, FSMOE_GROUP_DP),
		  mp = fsmoe_group_size(e->groups, FSMOE_GROUP_TP);
	size_t rows;
	int err = fsmoe_graph_create(&e->graph, e->groups);

	if (err)
		return err;
	e->spec = (struct fsmoe_batch_spec){
		.sequences = e->batch / dp,
		.seq_length = e->seq,
		.first = (size_t)(e->batch / dp) *
			 (size_t)fsmoe_group_rank(e->groups, FSMOE_GROUP_DP),
		.scale = 1.0 / ((double)e->batch * fsmoe_objective_targets(&e->objective)),
		.token_scale = 1.0 / ((double)e->batch * e->seq)};
	rows = (size_t)e->spec.sequences * (size_t)(e->seq / mp);
	e->spec.tokens = fsmoe_graph_input(e->graph, FSMOE_INT32, FSMOE_SHAPE1(rows), "tokens");
	e->spec.targets = fsmoe_graph_input(e->graph, FSMOE_INT32, FSMOE_SHAPE1(rows), "targets");
	e->loss = forward(e->graph, &e->spec, arg);
	fsmoe_graph_set_layer(e->graph, -1);
	if (e->loss != FSMOE_NONE)
		fsmoe_allreduce(e->graph, e->loss, FSMOE_GROUP_WORLD);
	return fsmoe_graph_status(e->graph);
}

int fsmoe_eval_create(struct fsmoe_eval **eval, fsmoe_runtime_t runtime, fsmoe_forward_fn forward,
		      void *arg, int batch, const struct fsmoe_objective *objective,
		      fsmoe_memory_t share)
{
	const int seq = objective->seq_length;
	const size_t n = (size_t)batch * (size_t)seq;
	struct fsmoe_eval *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return fsmoe_fail(ENOMEM, "no memory for an evaluation");
	e->groups = fsmoe_runtime_groups(runtime);
	e->batch = batch;
	e->seq = seq;
	e->objective = *objective;
	err = build(e, forward, arg);
	if (!err)
		err = fsmoe_memory_create(&e->memory, e->graph, FSMOE_F32, share);
	if (!err)
		err = fsmoe_program_create(&e->program, runtime, e->graph, e->memory);
	e->tokens = calloc(n, sizeof(*e->tokens));
	e->targets = calloc(n, sizeof(*e->targets));
	e->rows = calloc(n, sizeof(*e->rows));
	if (!err && (!e->tokens || !e->targets || !e->rows))
		err = fsmoe_fail(ENOMEM, "no memory for a batch");
	if (err)
	{
		fsmoe_eval_destroy(e);
		return err;
	}
	*eval = e;
	return 0;
}

void fsmoe_eval_destroy(struct fsmoe_eval *e)
{
	if (!e)
		return;
	fsmoe_program_drop(e->program);
	fsmoe_memory_destroy(e->memory);
	fsmoe_graph_destroy(e->graph);
	free(e->tokens);
	free(e->targets);
	free(e->rows);
	free(e);
}

static int write_rows(struct fsmoe_eval *e, fsmoe_tensor_t input, const int32_t *global)
{
	const size_t n = fsmoe_share_rows(e->groups, &e->spec, 0, 1, global, e->rows);

	return fsmoe_program_write(e->program, input, e->rows, n * sizeof(*e->rows));
}

/* The batch in e->tokens and e->targets; adds the sum of its losses. */
static int run_batch(struct fsmoe_eval *e, double *sum)
{
	const struct fsmoe_step step = {.step = 0}; /* no noise */
	float loss;
	int err = write_rows(e, e->spec.tokens, e->tokens);

	if (!err)
		err = write_rows(e, e->spec.targets, e->targets);
	if (!err)
		err = fsmoe_program_submit(e->program, &step);
	if (!err)
		err = fsmoe_program_wait(e->program);
	if (!err)
		err = fsmoe_program_read(e->program, e->loss, &loss, sizeof(loss));
	if (!err)
		*sum += (double)loss / e->spec.scale;
	return err;
}

/* Samples first .. of `samples` into the batch; what is left of it does not count. */
static int fill(struct fsmoe_eval *e, const struct fsmoe_data *data, enum fsmoe_split split,
		size_t first, size_t samples)
{
	const size_t all = fsmoe_data_samples(data, split, e->seq), seq = (size_t)e->seq;
	int err = 0;

	for (size_t i = 0; i < (size_t)e->batch && !err; i++)
	{
		const size_t at = i * seq, sample = first + i;

		if (sample < samples)
		{
			/* Evenly spread; in double, whose steps are finer than a window. */
			const double where = (double)all / (double)samples * (double)sample;
			size_t window = (size_t)floor(where);

			window = samples == all ? sample : window < all ? window : all - 1;
			err = fsmoe_data_windows(data, split, window, 1, e->seq, e->tokens + at,
						 e->targets + at);
			/* The same places whatever was trained with. */
			fsmoe_objective_apply(&e->objective, 0, window, 1, e->tokens + at,
					      e->targets + at);
			continue;
		}
		for (size_t k = 0; k < seq; k++)
		{
			e->tokens[at + k] = 0;
			e->targets[at + k] = -1;
		}
	}
	return err;
}

int fsmoe_eval_run(struct fsmoe_eval *e, const struct fsmoe_data *data, enum fsmoe_split split,
		   size_t samples, struct fsmoe_eval_result *result)
{
	const size_t all = fsmoe_data_samples(data, split, e->seq);
	const double start = fsmoe_clock();
	double sum = 0;
	int err = 0;

	if (!samples || samples > all)
		samples = all;
	if (!samples)
		return fsmoe_fail(ENODATA,
				  "nothing to evaluate: the held-out part is shorter than --seq=%d "
				  "and one",
				  e->seq);
	for (size_t first = 0; first < samples && !err; first += (size_t)e->batch)
	{
		err = fill(e, data, split, first, samples);
		if (!err)
			err = run_batch(e, &sum);
	}
	if (err)
		return err;
	samples *= (size_t)fsmoe_objective_targets(&e->objective);
	*result = (struct fsmoe_eval_result){
		.loss = sum / (double)samples, .tokens = samples, .seconds = fsmoe_clock() - start};
	return 0;
}
