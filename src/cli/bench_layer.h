/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_BENCH_LAYER_H
#define FSMOE_CLI_BENCH_LAYER_H

#include "cli/cli.h"
#include "config/config.h"

#include <fsmoe/ops.h>
#include <fsmoe/schedule.h>

/*
 * `fsmoe bench layer`: one MoE layer, forward and backward, on weights, tokens and gradients of the
 * output that bench/peer makes too, bit for bit. Names of options and of the JSON's keys are the
 * peer's, so that one table holds both.
 */

struct bench_opts
{
	/* Of it model, layout, nodes, runtime, batch, seed, schedule and peak; tokens are of a rank,
	 * experts of all. */
	struct fsmoe_train_config train;
	double skew;
	const char *cuts, *tag;
	int iters, warmup, parts;
};

/* A graph made ready to run. */
struct bench_program
{
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
};

struct bench
{
	const struct bench_opts *opts;
	struct fsmoe_schedule schedule; /* without a name: the graph's own */
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t runtime;
	int rank, ranks;
	size_t tokens; /* of a rank */
	size_t slots;  /* per expert and source rank, of the balanced parts alone */
	struct fsmoe_moe_spec spec;
	struct bench_program layer;
	fsmoe_tensor_t x, dx, y, dy; /* of `layer` */
};

/* Milliseconds of some runs, of each the slowest rank's. */
struct bench_times
{
	double median, min, p10, p90;
};

/* --- bench_graph.c: what is run. 0 or a negative errno; collective over the job --------------- */

int bench_make_layer(struct bench *b);
/* The experts' products alone, forward and backward, on as many slots as balanced routing fills. */
int bench_make_experts(struct bench *b, struct bench_program *p);
/* The communication of a step alone, in one chunk each way. p->program is NULL where there is
 * none. bytes: of a send buffer. */
int bench_make_exchange(struct bench *b, struct bench_program *p, size_t *bytes);
void bench_free(struct bench_program *p);

/* --- bench_time.c ----------------------------------------------------------------------------- */

/* One run; may be asked for the timeline of it (fsmoe_program_observe). */
int bench_run(struct bench_program *p, uint64_t step, double *seconds);
/* warmup + iters runs, those after the warm-up timed. */
int bench_time(const struct bench *b, struct bench_program *p, struct bench_times *times);
/* The layer: the step, its two passes, and on this rank the medians of every operation's time, as
 * an object by name. */
int bench_time_layer(const struct bench *b, struct bench_times *step, struct bench_times *forward,
		     struct bench_times *backward, json_t **ops);

/* --- bench_check.c ---------------------------------------------------------------------------- */

/* Fills parameters, tokens and the gradient of the output. */
void bench_fill(struct bench *b);
/* What the functions below look at, from a GPU. */
int bench_pull(const struct bench *b);
/* Numbers of this rank that every implementation must agree on, summed in double; after a run. */
json_t *bench_check(const struct bench *b);
/* Of this rank's routing: the part of choices that was dropped, and choices of the most wanted
 * expert over the mean; NaN where the gate does not count. */
void bench_routing(const struct bench *b, double *dropped, double *max_over_mean);

#endif
