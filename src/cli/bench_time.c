/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_layer.h"

#include "base/clock.h"
#include "comm/comm.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the values. */
static struct bench_times summary(double *ms, int n)
{
	qsort(ms, (size_t)n, sizeof(*ms), ascending);
	return (struct bench_times){.median = (ms[(n - 1) / 2] + ms[n / 2]) / 2,
				    .min = ms[0],
				    .p10 = ms[(int)(0.1 * (n - 1))],
				    .p90 = ms[(int)(0.9 * (n - 1))]};
}

/* Of every run the slowest rank's time, and of all runs the summary. */
static int slowest(const struct bench *b, const double *ms, int n, struct bench_times *times)
{
	struct fsmoe_comm *world =
		fsmoe_comms_get(fsmoe_runtime_comms(b->runtime), FSMOE_GROUP_WORLD);
	const size_t count = (size_t)n;
	double *all = calloc(count * (size_t)b->ranks, sizeof(*all));
	int err = all ? fsmoe_comm_allgather(world, ms, all, count * sizeof(*all))
		      : fsmoe_fail(ENOMEM, "no memory for %d times of %d ranks", n, b->ranks);

	for (size_t i = 0; i < count && !err; i++)
		for (size_t r = 1; r < (size_t)b->ranks; r++)
			all[i] = fmax(all[i], all[r * count + i]);
	if (!err)
		*times = summary(all, n);
	free(all);
	return err;
}

int bench_run(struct bench_program *p, uint64_t step, double *seconds)
{
	const struct fsmoe_step values = {.step = step, .seed = 1};
	double start = fsmoe_clock();
	int err = fsmoe_program_submit(p->program, &values);

	if (!err)
		err = fsmoe_program_wait(p->program);
	*seconds = fsmoe_clock() - start;
	return err;
}

static int meet(const struct bench *b)
{
	return fsmoe_comm_barrier(
		fsmoe_comms_get(fsmoe_runtime_comms(b->runtime), FSMOE_GROUP_WORLD));
}

int bench_time(const struct bench *b, struct bench_program *p, struct bench_times *times)
{
	const int iters = b->opts->iters, warmup = b->opts->warmup;
	double *ms = calloc((size_t)iters, sizeof(*ms)), seconds = 0;
	int err = ms ? 0 : fsmoe_fail(ENOMEM, "no memory for %d times", iters);

	for (int i = -warmup; i < iters && !err; i++)
	{
		if (i == 0)
			err = meet(b);
		if (!err)
			err = bench_run(p, (uint64_t)(i + warmup + 1), &seconds);
		if (i >= 0)
			ms[i] = 1e3 * seconds;
	}
	if (!err)
		err = slowest(b, ms, iters, times);
	free(ms);
	return err;
}

/* --- the layer, with what its operations take ---------------------------------------------- */

struct op_times
{
	const char *name;
	double *ms; /* by run */
};

struct layer_times
{
	double *step, *forward, *backward; /* by run */
	struct op_times *op;
	int nops, iters;
};

static void free_times(struct layer_times *t)
{
	for (int i = 0; i < t->nops; i++)
		free(t->op[i].ms);
	free(t->op);
	free(t->step);
	free(t->forward);
	free(t->backward);
}

static int make_times(struct layer_times *t, fsmoe_graph_t graph, int iters)
{
	const size_t n = (size_t)iters;
	int nnodes, known = 0;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &nnodes);

	*t = (struct layer_times){.step = calloc(n, sizeof(double)),
				  .forward = calloc(n, sizeof(double)),
				  .backward = calloc(n, sizeof(double)),
				  .op = calloc((size_t)nnodes, sizeof(*t->op)),
				  .iters = iters};
	known = t->step && t->forward && t->backward && t->op;
	for (int i = 0; i < nnodes && known; i++)
	{
		int k = 0;

		while (k < t->nops && strcmp(t->op[k].name, node[i].op->name))
			k++;
		if (k < t->nops)
			continue;
		t->op[k] = (struct op_times){node[i].op->name, calloc(n, sizeof(double))};
		t->nops++;
		known = t->op[k].ms != NULL;
	}
	return known ? 0 : fsmoe_fail(ENOMEM, "no memory for %d times", iters);
}

/* The forward ends with its last node; what is left of the step is the backward. */
static int keep(struct layer_times *t, struct bench_program *p, int i, double seconds)
{
	struct fsmoe_timeline tl;
	double forward = 0;
	int nnodes, err = fsmoe_program_observe(p->program, &tl);
	const struct fsmoe_node *node = fsmoe_graph_nodes(p->graph, &nnodes);

	if (err)
		return err;
	for (int n = 0; n < nnodes; n++)
	{
		int k = 0;

		while (strcmp(t->op[k].name, node[n].op->name))
			k++;
		t->op[k].ms[i] += 1e3 * (tl.end[n] - tl.start[n]);
		if (node[n].phase == FSMOE_FORWARD && node[n].layer == 0)
			forward = fmax(forward, tl.end[n]);
	}
	fsmoe_timeline_destroy(&tl);
	t->step[i] = 1e3 * seconds;
	t->forward[i] = 1e3 * forward;
	t->backward[i] = t->step[i] - t->forward[i];
	return 0;
}

int bench_time_layer(const struct bench *b, struct bench_times *step, struct bench_times *forward,
		     struct bench_times *backward, json_t **ops)
{
	struct bench_program p = b->layer;
	const int iters = b->opts->iters, warmup = b->opts->warmup;
	struct layer_times t;
	double seconds = 0;
	int err = make_times(&t, p.graph, iters);

	for (int i = -warmup; i < iters && !err; i++)
	{
		if (i == 0)
			err = meet(b);
		if (!err)
			err = bench_run(&p, (uint64_t)(i + warmup + 1), &seconds);
		if (i >= 0 && !err)
			err = keep(&t, &p, i, seconds);
	}
	if (!err)
		err = slowest(b, t.step, iters, step);
	if (!err)
		err = slowest(b, t.forward, iters, forward);
	if (!err)
		err = slowest(b, t.backward, iters, backward);
	*ops = err ? NULL : json_object();
	for (int k = 0; k < t.nops && !err; k++)
		json_object_set_new(*ops, t.op[k].name,
				    json_real(summary(t.op[k].ms, iters).median));
	free_times(&t);
	return err;
}
