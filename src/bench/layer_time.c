/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/layer.h"

#include "base/clock.h"
#include "comm/comm.h"
#include "measure/samples.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <math.h>
#include <stdlib.h>

/* Milliseconds by step, in columns: the step, its two passes, and every operation of the graph. */
enum
{
	STEP,
	FORWARD,
	BACKWARD,
	OPERATIONS
};

struct columns
{
	double *ms; /* (OPERATIONS + nops, steps) */
	const struct fsmoe_op **op;
	int nops, steps;
};

static double *column_at(const struct columns *c, int column)
{
	return c->ms + (size_t)column * (size_t)c->steps;
}

/* Adds the operation where it is new. */
static int column_of(struct columns *c, const struct fsmoe_op *op)
{
	int k = 0;

	while (k < c->nops && c->op[k] != op)
		k++;
	if (k == c->nops)
		c->op[c->nops++] = op;
	return OPERATIONS + k;
}

static int create_columns(struct columns *c, fsmoe_graph_t graph, int steps, int with_ops)
{
	int nnodes;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &nnodes);

	*c = (struct columns){.op = calloc((size_t)nnodes + 1, sizeof(*c->op)), .steps = steps};
	for (int i = 0; c->op && with_ops && i < nnodes; i++)
		column_of(c, node[i].op);
	c->ms = calloc((size_t)(OPERATIONS + c->nops) * (size_t)steps, sizeof(*c->ms));
	return c->op && c->ms ? 0 : fsmoe_fail(ENOMEM, "no memory for %d times", steps);
}

/* The forward pass ends with the last of its nodes; the rest of the step is the backward pass. */
static int add_timeline(struct columns *c, const struct fsmoe_bench_program *p, int step)
{
	struct fsmoe_timeline tl;
	double forward = 0;
	int nnodes, err = fsmoe_program_observe(p->program, &tl);
	const struct fsmoe_node *node = fsmoe_graph_nodes(p->graph, &nnodes);

	if (err)
		return err;
	for (int n = 0; n < nnodes; n++)
	{
		column_at(c, column_of(c, node[n].op))[step] += 1e3 * (tl.end[n] - tl.start[n]);
		if (node[n].phase == FSMOE_FORWARD && node[n].layer == 0)
			forward = fmax(forward, tl.end[n]);
	}
	fsmoe_timeline_destroy(&tl);
	column_at(c, FORWARD)[step] = 1e3 * forward;
	column_at(c, BACKWARD)[step] = column_at(c, STEP)[step] - 1e3 * forward;
	return 0;
}

static struct fsmoe_comm *world_of(const struct fsmoe_bench *b)
{
	return fsmoe_comms_get(fsmoe_runtime_comms(b->runtime), FSMOE_GROUP_WORLD);
}

static int run_steps(const struct fsmoe_bench *b, const struct fsmoe_bench_program *p,
		     struct columns *c)
{
	int err = 0;

	for (int i = -b->opts->warmup; i < c->steps && !err; i++)
	{
		const struct fsmoe_step step = {.step = (uint64_t)(i + b->opts->warmup + 1),
						.seed = 1};
		double start;

		if (i == 0)
			err = fsmoe_comm_barrier(world_of(b));
		start = fsmoe_clock();
		if (!err)
			err = fsmoe_program_submit(p->program, &step);
		if (!err)
			err = fsmoe_program_wait(p->program);
		if (i < 0 || err)
			continue;
		column_at(c, STEP)[i] = 1e3 * (fsmoe_clock() - start);
		if (c->nops)
			err = add_timeline(c, p, i);
	}
	return err;
}

/* Summarizes each step's time on its slowest rank. */
static int summarize_slowest(const struct fsmoe_bench *b, const double *ms, int n,
			     struct fsmoe_bench_times *times)
{
	const size_t count = (size_t)n;
	double *all = calloc(count * (size_t)b->ranks, sizeof(*all));
	int err = all ? fsmoe_comm_allgather(world_of(b), ms, all, count * sizeof(*all))
		      : fsmoe_fail(ENOMEM, "no memory for %d times of %d ranks", n, b->ranks);

	for (size_t i = 0; i < count && !err; i++)
		for (size_t r = 1; r < (size_t)b->ranks; r++)
			all[i] = fmax(all[i], all[r * count + i]);
	if (!err)
	{
		times->median = fsmoe_median(all, n); /* sorts them */
		times->min = all[0];
		times->p10 = all[(int)(0.1 * (n - 1))];
		times->p90 = all[(int)(0.9 * (n - 1))];
	}
	free(all);
	return err;
}

static json_t *op_medians(const struct columns *c)
{
	json_t *ops = json_object();

	for (int k = 0; k < c->nops; k++)
		json_object_set_new(
			ops, c->op[k]->name,
			json_real(fsmoe_median(column_at(c, OPERATIONS + k), c->steps)));
	return ops;
}

int fsmoe_bench_time(const struct fsmoe_bench *b, const struct fsmoe_bench_program *p,
		     struct fsmoe_bench_times *step, struct fsmoe_bench_times pass[2], json_t **ops)
{
	struct columns c;
	int err = create_columns(&c, p->graph, b->opts->steps, ops != NULL);

	if (!err)
		err = run_steps(b, p, &c);
	if (!err)
		err = summarize_slowest(b, column_at(&c, STEP), c.steps, step);
	for (int k = 0; k < 2 && ops && !err; k++)
		err = summarize_slowest(b, column_at(&c, FORWARD + k), c.steps, &pass[k]);
	if (ops)
		*ops = err ? NULL : op_medians(&c);
	free(c.ms);
	free(c.op);
	return err;
}
