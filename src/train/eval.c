/* SPDX-License-Identifier: Apache-2.0 */
#include "train/eval.h"

#include "base/clock.h"
#include "runtime/introspect.h"
#include "train/batch_shard.h"

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
	struct fsmoe_forward_graph forward; /* out: the mean over the rows of the global batch */
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	int32_t *tokens, *targets, *rows;
};

int fsmoe_eval_graph(struct fsmoe_forward_graph *graph, fsmoe_groups_t groups,
		     struct fsmoe_forward forward, int batch,
		     const struct fsmoe_objective *objective)
{
	const struct fsmoe_batch_spec share = fsmoe_batch_share(
		groups, batch, objective->seq_length, fsmoe_objective_targets(objective), 0, 1);
	int err = fsmoe_forward_graph_create(graph, groups, &share, forward);

	if (err)
		return err;
	fsmoe_graph_set_layer(graph->graph, -1);
	fsmoe_allreduce(graph->graph, graph->out, FSMOE_GROUP_WORLD);
	err = fsmoe_graph_status(graph->graph);
	if (err)
	{
		fsmoe_graph_destroy(graph->graph);
		graph->graph = NULL;
	}
	return err;
}

int fsmoe_eval_create(struct fsmoe_eval **eval, fsmoe_runtime_t runtime,
		      struct fsmoe_forward_graph *graph, int batch,
		      const struct fsmoe_objective *objective, fsmoe_memory_t share)
{
	const size_t n = (size_t)batch * (size_t)objective->seq_length;
	struct fsmoe_eval *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
	{
		fsmoe_graph_destroy(graph->graph);
		return fsmoe_fail(ENOMEM, "no memory for an evaluation");
	}
	*e = (struct fsmoe_eval){.groups = fsmoe_runtime_groups(runtime),
				 .batch = batch,
				 .seq = objective->seq_length,
				 .objective = *objective,
				 .forward = *graph};
	*graph = (struct fsmoe_forward_graph){0};
	err = fsmoe_memory_create(&e->memory, e->forward.graph, FSMOE_F32, share);
	if (!err)
		err = fsmoe_program_create(&e->program, runtime, e->forward.graph, e->memory);
	e->tokens = calloc(n, sizeof(*e->tokens));
	e->targets = calloc(n, sizeof(*e->targets));
	e->rows = calloc(n, sizeof(*e->rows));
	if (!err && (!e->tokens || !e->targets || !e->rows))
		err = fsmoe_fail(ENOMEM, "no memory for a batch");
	if (err)
		fsmoe_eval_destroy(e);
	else
		*eval = e;
	return err;
}

void fsmoe_eval_destroy(struct fsmoe_eval *e)
{
	if (!e)
		return;
	fsmoe_program_drop(e->program);
	fsmoe_memory_destroy(e->memory);
	fsmoe_graph_destroy(e->forward.graph);
	free(e->tokens);
	free(e->targets);
	free(e->rows);
	free(e);
}

static int write_rows(struct fsmoe_eval *e, fsmoe_tensor_t input, const int32_t *global)
{
	const size_t n =
		fsmoe_batch_shard_rows(e->groups, &e->forward.batch, 0, 1, global, e->rows);

	return fsmoe_program_write(e->program, input, e->rows, n * sizeof(*e->rows));
}

/* Runs the batch in e->tokens and e->targets; adds the sum of its losses. */
static int run_batch(struct fsmoe_eval *e, double *sum)
{
	const struct fsmoe_step step = {.step = 0}; /* no noise */
	float loss;
	int err = write_rows(e, e->forward.batch.tokens, e->tokens);

	if (!err)
		err = write_rows(e, e->forward.batch.targets, e->targets);
	if (!err)
		err = fsmoe_program_submit(e->program, &step);
	if (!err)
		err = fsmoe_program_wait(e->program);
	if (!err)
		err = fsmoe_program_read(e->program, e->forward.out, &loss, sizeof(loss));
	if (!err)
		*sum += (double)loss / e->forward.batch.scale;
	return err;
}

/* Fills the batch with samples first .. of `samples`; the rest of it does not count. */
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
			/* A double resolves every window, so the spread is even. */
			const double where = (double)all / (double)samples * (double)sample;
			size_t window = (size_t)floor(where);

			window = samples == all ? sample : window < all ? window : all - 1;
			err = fsmoe_data_windows(data, split, window, 1, e->seq, e->tokens + at,
						 e->targets + at);
			/* Seed 0: the masked places do not depend on the run's seed. */
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
		return fsmoe_fail(
			ENODATA,
			"nothing to evaluate: the held-out part is shorter than --seq-length=%d "
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
