/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/schedule.h"

#include "base/clock.h"
#include "base/rng.h"
#include "measure/samples.h"
#include "runtime/introspect.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/profile.h>
#include <math.h>
#include <stdlib.h>

enum
{
	WARMUP = 2
};

/* --- making ------------------------------------------------------------------------------- */

void fsmoe_bench_fill_tokens(const struct fsmoe_step_graph *step, fsmoe_memory_t memory, int rank,
			     int vocab)
{
	int n;
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(step->graph, &n);

	for (int i = 0; i < step->micro_batches; i++)
	{
		int32_t *tokens = fsmoe_memory_data(memory, step->batch[i].tokens),
			*targets = fsmoe_memory_data(memory, step->batch[i].targets);
		const size_t rows = fsmoe_shape_count(&tensors[step->batch[i].tokens].shape);
		const uint64_t key = fsmoe_rng_subkey(fsmoe_rng_key(1, "bench schedule"),
						      (uint64_t)(rank * 1024 + i));

		for (size_t k = 0; k < rows; k++)
		{
			tokens[k] = (int32_t)(fsmoe_rng_bits(key, k) % (uint64_t)vocab);
			targets[k] = (tokens[k] + 1) % vocab;
		}
	}
}

/* Sums the seconds of the nodes of each kind. */
static int sum_kinds(const struct fsmoe_timeline *tl, fsmoe_graph_t graph, double *kind)
{
	int n, err;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &n);
	double *held = calloc((size_t)n + 1, sizeof(*held));

	err = held ? fsmoe_timeline_held(tl, graph, held)
		   : fsmoe_fail(ENOMEM, "no memory for a timeline of %d nodes", n);
	for (int k = 0; k < FSMOE_NKINDS; k++)
		kind[k] = 0;
	for (int i = 0; i < n && !err; i++)
		kind[node[i].op->kind] += held[i];
	free(held);
	return err;
}

/* In a prediction a node takes only its running time: its lane is never late. */
static int predict_row(const struct fsmoe_bench_rows *b, struct fsmoe_bench_row *row)
{
	struct fsmoe_timeline tl;
	int n, err = fsmoe_profile_simulate(b->profile, row->step.graph, &tl);
	const struct fsmoe_node *node = fsmoe_graph_nodes(row->step.graph, &n);

	if (err)
		return err;
	row->predicted = tl.makespan;
	for (int i = 0; i < n; i++)
		row->predicted_kind[node[i].op->kind] += tl.end[i] - tl.start[i];
	err = fsmoe_timeline_exposed(&tl, row->step.graph, &row->predicted_exposed);
	fsmoe_timeline_destroy(&tl);
	return err;
}

static int allocate_row(const struct fsmoe_bench_rows *b, struct fsmoe_bench_row *row)
{
	const size_t rounds = (size_t)b->rounds;
	int ok;

	row->seconds = calloc(rounds, sizeof(double));
	row->exposed = calloc(rounds, sizeof(double));
	ok = row->seconds && row->exposed;
	for (int k = 0; k < FSMOE_NKINDS; k++)
		ok = (row->kind[k] = calloc(rounds, sizeof(double))) && ok;
	return ok ? 0 : fsmoe_fail(ENOMEM, "no memory for %d rounds", b->rounds);
}

static int make_row(const struct fsmoe_bench_rows *b, struct fsmoe_bench_row *row)
{
	struct fsmoe_train_opts opts = *b->train;
	int err = fsmoe_train_plan(&row->plan, b->groups, fsmoe_model_as_forward(b->model), &opts,
				   &row->schedule, b->profile, b->max_degree);

	if (err)
		return err;
	opts.schedule = &row->schedule;
	opts.plan = &row->plan;
	err = fsmoe_step_create(&row->step, b->groups, fsmoe_model_as_forward(b->model), &opts);
	if (!err)
		err = fsmoe_memory_create(&row->memory, row->step.graph, FSMOE_F32,
					  row > b->row ? b->row[0].memory : NULL);
	if (!err && row == b->row)
		err = fsmoe_memory_init_params(row->memory, 1);
	if (err)
		return err;
	fsmoe_bench_fill_tokens(&row->step, row->memory, b->world->rank, b->model->vocab_size);
	err = fsmoe_program_create(&row->program, b->runtime, row->step.graph, row->memory);
	if (!err)
		err = allocate_row(b, row);
	return err ? err : predict_row(b, row);
}

/* --- running ------------------------------------------------------------------------------ */

static int run_row(const struct fsmoe_bench_rows *b, struct fsmoe_bench_row *row, int round)
{
	struct fsmoe_timeline tl = {0};
	double start, kind[FSMOE_NKINDS], exposed = 0, seconds;
	int err = fsmoe_comm_barrier(b->world);

	start = fsmoe_clock();
	if (!err)
		err = fsmoe_program_submit(row->program, &(struct fsmoe_step){.step = 1});
	if (!err)
		err = fsmoe_program_wait(row->program);
	seconds = fsmoe_clock() - start;
	if (!err)
		err = fsmoe_program_observe(row->program, &tl);
	if (!err)
		err = sum_kinds(&tl, row->step.graph, kind);
	if (!err)
		err = fsmoe_timeline_exposed(&tl, row->step.graph, &exposed);
	fsmoe_timeline_destroy(&tl);
	if (err || round < 0)
		return err;
	row->seconds[round] = seconds;
	row->exposed[round] = exposed;
	for (int k = 0; k < FSMOE_NKINDS; k++)
		row->kind[k][round] = kind[k];
	return 0;
}

int fsmoe_bench_over_ranks(struct fsmoe_comm *world, double mine, int greatest, double *value)
{
	double all[world->size];
	int err = fsmoe_comm_allgather(world, &mine, all, sizeof(mine));

	*value = mine;
	for (int r = 0; r < world->size && !err; r++)
		*value = greatest ? fmax(*value, all[r]) : fmin(*value, all[r]);
	return err;
}

static int summarize_row(const struct fsmoe_bench_rows *b, struct fsmoe_bench_row *row)
{
	int err = 0;

	for (int i = 0; i < b->rounds && !err; i++)
		err = fsmoe_bench_over_ranks(b->world, row->seconds[i], 1, &row->seconds[i]);
	row->measured = fsmoe_median(row->seconds, b->rounds); /* sorted from here on */
	row->low = row->seconds[(int)(0.1 * (b->rounds - 1))];
	row->high = row->seconds[(int)ceil(0.9 * (b->rounds - 1))];
	if (!err)
		err = fsmoe_bench_over_ranks(b->world, fsmoe_median(row->exposed, b->rounds), 1,
					     &row->measured_exposed);
	for (int k = 0; k < FSMOE_NKINDS && !err; k++)
		err = fsmoe_bench_over_ranks(b->world, fsmoe_median(row->kind[k], b->rounds),
					     !FSMOE_KIND_IS_COMM(k), &row->measured_kind[k]);
	return err;
}

int fsmoe_bench_rows_run(struct fsmoe_bench_rows *b)
{
	int err = 0;

	for (int i = 0; i < b->n && !err; i++)
		err = make_row(b, &b->row[i]);
	/* Rounds start with different schedules, so that none always runs after the same one. */
	for (int round = -WARMUP; round < b->rounds && !err; round++)
		for (int i = 0; i < b->n && !err; i++)
			err = run_row(b, &b->row[(i + round + WARMUP) % b->n], round);
	for (int i = 0; i < b->n && !err; i++)
		err = summarize_row(b, &b->row[i]);
	return err;
}

void fsmoe_bench_rows_free(struct fsmoe_bench_rows *b)
{
	/* The first row's memory holds what the others share. */
	for (int i = b->n - 1; i >= 0; i--)
	{
		struct fsmoe_bench_row *row = &b->row[i];

		fsmoe_program_drop(row->program);
		fsmoe_memory_destroy(row->memory);
		if (row->step.graph)
			fsmoe_step_destroy(&row->step);
		fsmoe_plan_destroy(&row->plan);
		free(row->seconds);
		free(row->exposed);
		for (int k = 0; k < FSMOE_NKINDS; k++)
			free(row->kind[k]);
	}
	free(b->row);
	b->row = NULL;
	b->n = 0;
}
