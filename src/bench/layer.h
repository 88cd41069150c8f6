/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BENCH_LAYER_H
#define FSMOE_BENCH_LAYER_H

#include "base/options.h"
#include "config/config.h"

#include <fsmoe/ops.h>
#include <fsmoe/schedule.h>

/*
 * `fsmoe bench layer`: one MoE layer, forward and backward, on weights, tokens and gradients of the
 * output that bench/peer makes too, bit for bit. Option names and JSON keys are those of the peer,
 * so one table holds both.
 */

struct fsmoe_bench_opts
{
	/* Used: model, layout, nodes, runtime, batch, seed, schedule and peak. Tokens are counted
	 * per rank, experts over all ranks. */
	struct fsmoe_train_config train;
	double skew;
	const char *degrees, *tag;
	int steps, warmup, parts;
};

extern const struct fsmoe_option fsmoe_bench_options[];
void fsmoe_bench_opts_init(struct fsmoe_bench_opts *opts);
/* Checks the values and fills in what follows from them. -EINVAL with a sentence. */
int fsmoe_bench_opts_check(struct fsmoe_bench_opts *opts);

/* A graph made ready to run. */
struct fsmoe_bench_program
{
	fsmoe_graph_t graph;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
};

struct fsmoe_bench
{
	const struct fsmoe_bench_opts *opts;
	struct fsmoe_schedule schedule; /* without a name: the graph's own */
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t runtime;
	int rank, ranks;
	size_t tokens; /* of a rank */
	size_t slots;  /* per expert and source rank; what the parts alone are measured with */
	struct fsmoe_moe_spec spec;
	struct fsmoe_bench_program layer;
	fsmoe_tensor_t x, dx, y, dy; /* of `layer` */
};

/* Milliseconds over the steps, each on its slowest rank. */
struct fsmoe_bench_times
{
	double median, min, p10, p90;
};

/* --- layer.c; 0 or a negative errno, collective over the job ---------------------------------- */

/* Makes the groups and derives the sizes, from b->opts and b->topo. Fails alike on all ranks. */
int fsmoe_bench_lay_out(struct fsmoe_bench *b);
/* Builds and times the layer, and its parts with opts->parts, once b->runtime has started. The
 * caller owns *out. */
int fsmoe_bench_layer(struct fsmoe_bench *b, json_t **out);
/* Destroys all that *b holds; stops the runtime. */
void fsmoe_bench_destroy(struct fsmoe_bench *b);

/* --- layer_graph.c; 0 or a negative errno, collective over the job ---------------------------- */

/* The layer, filled; checks first that it fits the GPU. */
int fsmoe_bench_make_layer(struct fsmoe_bench *b);
/* The experts' products alone, forward and backward, on as many slots as balanced routing fills. */
int fsmoe_bench_make_experts(struct fsmoe_bench *b, struct fsmoe_bench_program *p);
/* The communication of a step alone, in one chunk each way. Without any, p->program is NULL.
 * bytes: of a send buffer. */
int fsmoe_bench_make_exchange(struct fsmoe_bench *b, struct fsmoe_bench_program *p, size_t *bytes);
void fsmoe_bench_free(struct fsmoe_bench_program *p);

/* --- layer_time.c ----------------------------------------------------------------------------- */

/* Runs opts->warmup + opts->steps steps and times the latter. With `ops` also the forward and the
 * backward pass, and the medians of the operations' times on this rank, as an object by name.
 * Collective over the job. */
int fsmoe_bench_time(const struct fsmoe_bench *b, const struct fsmoe_bench_program *p,
		     struct fsmoe_bench_times *step, struct fsmoe_bench_times pass[2],
		     json_t **ops);

/* --- layer_check.c ---------------------------------------------------------------------------- */

/* Fills parameters, tokens and the gradient of the output. */
void fsmoe_bench_fill(struct fsmoe_bench *b);
/* Copies what the two functions below read from the GPU. */
int fsmoe_bench_pull(const struct fsmoe_bench *b);
/* Numbers of this rank on which all implementations must agree, summed in double; after a run. */
json_t *fsmoe_bench_check(const struct fsmoe_bench *b);
/* Of this rank's routing: the dropped part of all choices, and the choices of the most chosen
 * expert over the mean; NaN if the gate does not count them. */
void fsmoe_bench_routing(const struct fsmoe_bench *b, double *dropped, double *max_over_mean);

#endif
