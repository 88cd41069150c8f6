/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/generate.h"

#include "comm/comm.h"
#include "model/forward.h"
#include "runtime/introspect.h"
#include "train/batch_shard.h"

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
	struct fsmoe_forward_graph forward; /* out: the logits (rows, V) */
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	int32_t *window, *rows; /* dp equal windows; this rank's part of them */
	float *row;             /* the logits of one token */
	int *scratch;
};

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
	err = fsmoe_forward_graph_logits(&g->forward, g->groups, &g->model);
	if (err)
	{
		free(g);
		return err;
	}
	err = allocate(g);
	if (!err)
		err = fsmoe_memory_create(&g->memory, g->forward.graph, FSMOE_F32, NULL);
	if (!err && checkpoint)
		err = fsmoe_checkpoint_load_weights(checkpoint, g->forward.graph, g->memory,
						    g->comms, &g->model, NULL);
	else if (!err)
		err = fsmoe_memory_init_params(g->memory, 1);
	if (!err)
		err = fsmoe_program_create(&g->program, runtime, g->forward.graph, g->memory);
	if (err)
		fsmoe_generator_destroy(g);
	else
		*generator = g;
	return err;
}

void fsmoe_generator_destroy(struct fsmoe_generator *g)
{
	if (!g)
		return;
	fsmoe_program_drop(g->program);
	fsmoe_memory_destroy(g->memory);
	fsmoe_graph_destroy(g->forward.graph);
	free(g->window);
	free(g->rows);
	free(g->row);
	free(g->scratch);
	free(g);
}

/* Runs the forward over the window; g->row becomes the logits of its token `last`, on every
 * rank. */
static int run_forward(struct fsmoe_generator *g, size_t last)
{
	const struct fsmoe_step step = {.step = 0}; /* no noise */
	const size_t span = (size_t)(g->model.seq_length /
				     fsmoe_group_size(g->groups, FSMOE_GROUP_TP)),
		     width = (size_t)g->model.vocab_size * sizeof(*g->row);
	/* A rank of the first data-parallel group, whose ranks are the job's first. */
	const int owner = (int)(last / span);
	struct fsmoe_comm *world = fsmoe_comms_get(g->comms, FSMOE_GROUP_WORLD);
	const float *logits = fsmoe_memory_data(g->memory, g->forward.out);
	size_t n = fsmoe_batch_shard_rows(g->groups, &g->forward.batch, 0, 1, g->window, g->rows);
	int err = fsmoe_program_write(g->program, g->forward.batch.tokens, g->rows,
				      n * sizeof(*g->rows));

	if (!err)
		err = fsmoe_program_submit(g->program, &step);
	if (!err)
		err = fsmoe_program_wait(g->program);
	if (!err)
		err = fsmoe_program_pull(g->program, &g->forward.out, 1);
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
	/* The model is causal: the zeros behind the last token have no influence. */
	memset(g->window, 0, (size_t)dp * seq * sizeof(*g->window));
	for (int copy = 0; copy < dp; copy++)
		memcpy(g->window + (size_t)copy * seq, tokens + n - used, used * sizeof(*tokens));
	err = run_forward(g, used - 1);
	if (!err)
		*next = fsmoe_sample(g->row, g->model.vocab_size, sampling, index, g->scratch);
	return err;
}
