/* SPDX-License-Identifier: Apache-2.0 */
#include "train/generate.h"

#include "comm/comm.h"
#include "runtime/introspect.h"
#include "train/share.h"

#include <errno.h>
#include <fsmoe/checkpoint.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

struct fsmoe_generator
{
	fsmoe_groups_t groups;
	fsmoe_comms_t comms;
	struct fsmoe_model_spec model;
	struct fsmoe_batch_spec batch;
	fsmoe_graph_t graph;
	fsmoe_tensor_t logits; /* (rows, V) */
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	int32_t *window, *rows; /* dp windows, all the same; this rank's part of them */
	float *row;             /* the logits of one token */
	int *scratch;
};

static int build(struct fsmoe_generator *g)
{
	size_t rows = (size_t)(g->model.seq_length / fsmoe_group_size(g->groups, FSMOE_GROUP_TP));
	int err = fsmoe_graph_create(&g->graph, g->groups);

	if (err)
		return err;
	g->batch = (struct fsmoe_batch_spec){.sequences = 1,
					     .seq_length = g->model.seq_length,
					     .targets = FSMOE_NONE,
					     .scale = 1};
	g->batch.tokens = fsmoe_graph_input(g->graph, FSMOE_INT32, FSMOE_SHAPE1(rows), "tokens");
	g->logits = fsmoe_model_logits(g->graph, &g->batch, &g->model);
	return fsmoe_graph_status(g->graph);
}

static int allocate(struct fsmoe_generator *g)
{
	const size_t dp = (size_t)fsmoe_group_size(g->groups, FSMOE_GROUP_DP);

	g->window = calloc(dp * (size_t)g->model.seq_length, sizeof(*g->window));
	g->rows = calloc((size_t)g->model.seq_length, sizeof(*g->rows));
	g->row = calloc((size_t)g->model.vocab_size, sizeof(*g->row));
	g->scratch = calloc((size_t)g->model.vocab_size, sizeof(*g->scratch));
	if (!g->window || !g->rows || !g->row || !g->scratch)
		return fsmoe_fail(ENOMEM, "no memory for a window of %d tokens",
				  g->model.seq_length);
	return 0;
}

int fsmoe_generator_create(struct fsmoe_generator **generator, fsmoe_runtime_t runtime,
			   const struct fsmoe_model_spec *model, const char *checkpoint)
{
	struct fsmoe_generator *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return fsmoe_fail(ENOMEM, "no memory for a generator");
	g->groups = fsmoe_runtime_groups(runtime);
	g->comms = fsmoe_runtime_comms(runtime);
	g->model = *model;
	g->model.capacity_factor = 0;
	err = build(g);
	if (!err)
		err = allocate(g);
	if (!err)
		err = fsmoe_memory_create(&g->memory, g->graph, FSMOE_F32, NULL);
	if (!err && checkpoint)
		err = fsmoe_checkpoint_load_weights(checkpoint, g->graph, g->memory, g->comms,
						    &g->model, NULL);
	else if (!err)
		err = fsmoe_memory_init_params(g->memory, 1);
	if (!err)
		err = fsmoe_program_create(&g->program, runtime, g->graph, g->memory);
	if (err)
	{
		fsmoe_generator_destroy(g);
		return err;
	}
	*generator = g;
	return 0;
}

void fsmoe_generator_destroy(struct fsmoe_generator *g)
{
	if (!g)
		return;
	fsmoe_program_drop(g->program);
	fsmoe_memory_destroy(g->memory);
	fsmoe_graph_destroy(g->graph);
	free(g->window);
	free(g->rows);
	free(g->row);
	free(g->scratch);
	free(g);
}

/* One forward pass over the window; the logits of its token `last` into g->row on every rank. */
static int forward(struct fsmoe_generator *g, size_t last)
{
	const struct fsmoe_step step = {.step = 0}; /* no noise */
	const size_t span = (size_t)(g->model.seq_length /
				     fsmoe_group_size(g->groups, FSMOE_GROUP_TP)),
		     width = (size_t)g->model.vocab_size * sizeof(*g->row);
	/* Of the first data-parallel group: its ranks are the job's first. */
	const int owner = (int)(last / span);
	struct fsmoe_comm *world = fsmoe_comms_get(g->comms, FSMOE_GROUP_WORLD);
	const float *logits = fsmoe_memory_data(g->memory, g->logits);
	size_t n = fsmoe_share_rows(g->groups, &g->batch, 0, 1, g->window, g->rows);
	int err = fsmoe_program_write(g->program, g->batch.tokens, g->rows, n * sizeof(*g->rows));

	if (!err)
		err = fsmoe_program_submit(g->program, &step);
	if (!err)
		err = fsmoe_program_wait(g->program);
	if (!err)
		err = fsmoe_program_pull(g->program, &g->logits, 1);
	if (err)
		return err;
	if (world->rank == owner)
		memcpy(g->row, logits + last % span * (size_t)g->model.vocab_size, width);
	return fsmoe_comm_broadcast(world, g->row, width, owner);
}

int fsmoe_generator_next(struct fsmoe_generator *g, const int32_t *tokens, size_t n,
			 const struct fsmoe_sampling *sampling, uint64_t index, int32_t *next)
{
	const size_t seq = (size_t)g->model.seq_length, used = n < seq ? n : seq;
	const int dp = fsmoe_group_size(g->groups, FSMOE_GROUP_DP);
	int err;

	if (!n)
		return fsmoe_fail(EINVAL, "there is nothing to continue: give at least one token");
	for (size_t i = 0; i < used; i++)
		if (tokens[n - used + i] < 0 || tokens[n - used + i] >= g->model.vocab_size)
			return fsmoe_fail(EDOM, "token %d is not in the model's vocabulary of %d",
					  tokens[n - used + i], g->model.vocab_size);
	/* What follows the last token in the window is not looked at: the model is causal. */
	memset(g->window, 0, (size_t)dp * seq * sizeof(*g->window));
	for (int copy = 0; copy < dp; copy++)
		memcpy(g->window + (size_t)copy * seq, tokens + n - used, used * sizeof(*tokens));
	err = forward(g, used - 1);
	if (!err)
		*next = fsmoe_sample(g->row, g->model.vocab_size, sampling, index, g->scratch);
	return err;
}
