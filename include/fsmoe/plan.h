/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_H
#define FSMOE_PLAN_H

#include <fsmoe/model.h>
#include <fsmoe/profile.h>
#include <fsmoe/schedule.h>

/*
 * A plan says how many chunks every MoE layer is cut into, and which bytes of gradients travel
 * beside which part of the backward. It is made from the costs of layers by arithmetic alone: the
 * same problem gives the same plan, bit for bit, in every run and on every rank. No function here
 * is collective. doc/cost-model.md lists the equations and the function of each.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* --- the problem -------------------------------------------------------------------------- */

/* A stage of a layer. Cut into r chunks, each takes alpha + beta * (work / r) seconds. */
struct fsmoe_stage
{
	double alpha, beta, work;
};

#define FSMOE_LAYER_BUCKETS 8

/* One layer: a dense part (attention, norms, gate) and a mixture of experts. */
struct fsmoe_layer_cost
{
	/* In every pass: AlltoAll out, AllGather, experts, ReduceScatter, AlltoAll back. */
	struct fsmoe_stage alltoall, allgather, reduce_scatter;
	struct fsmoe_stage expert;                       /* forward */
	struct fsmoe_stage expert_input, expert_weights; /* backward */
	double dense_forward, dense_backward;            /* seconds on the compute lane */
	double dense_gather, dense_scatter; /* seconds of the tensor-parallel AllGather and
					       ReduceScatter around it, in either pass */
	double gradient_bytes;              /* to be summed over ranks once its backward is done */
	int slots;                          /* no more chunks than these; 0: no limit */
	/* The buckets that gradient_bytes lie in, in the order in which they are sent. An AllReduce
	 * ends with its bucket. 0 buckets: the gradients of all layers lie in one buffer, as in the
	 * paper. */
	int buckets;
	double bucket_bytes[FSMOE_LAYER_BUCKETS];
};

struct fsmoe_plan_problem
{
	int layers;
	const struct fsmoe_layer_cost *layer;   /* in forward order */
	double allreduce_alpha, allreduce_beta; /* seconds; seconds a byte */
	int max_degree;                         /* every number of chunks from 1 to this */
	int powers;                             /* 1: of those only 1, 2, 4, ... */
	/* 0: a model from end to end. 1: layers in the middle of a long model, which go round: each
	 * places the gradients of the one before it in backward, and the first in backward those of
	 * the last. The rest is exposed in the layer. */
	int steady;
};

/* The sizes of a layer, for costs by formula. */
struct fsmoe_layer_sizes
{
	double batch, seq_length;     /* sequences of a data-parallel rank, tokens of each */
	double hidden_size, ffn_size; /* M, H of a whole expert */
	int heads, kv_heads;          /* kv_heads 0: as many */
	int experts;
	double load; /* k * f: slots a token, the paper's moe_factor */
	int gemms;   /* of an expert's forward: 2, or 3 with a gate of its own */
	int biases;  /* 1: attention has them (GPT), 0: it has not (Mixtral) */
	int tp, ep;  /* ranks of a node that share heads and experts; nodes */
	/* Measured seconds of the dense part's compute; 0: by formula. */
	double dense_forward, dense_backward;
};

/* Fills the sizes and the number of layers of a model that papers measure ("gpt2-xl", ...). batch,
 * tp and ep are 1. -ENOENT lists these names and those of fsmoe/model.h. */
int fsmoe_layer_sizes_init(struct fsmoe_layer_sizes *sizes, int *layers, const char *preset);
/* Returns the names of the models that papers measure, i = 0, 1, ... until NULL. */
const char *fsmoe_layer_sizes_name(int i);

/* Computes the cost of a layer by the paper's formulas. -ENODATA names the line that the profile
 * lacks, -EINVAL a size that is not valid. */
int fsmoe_layer_cost_init(struct fsmoe_layer_cost *cost, fsmoe_profile_t profile,
			  const struct fsmoe_layer_sizes *sizes);

/* Computes every layer's cost from a step graph built with one chunk per layer: the work of its
 * first micro-batch at the profile's lines, the gradients that are summed over ranks, the slots.
 * Nodes outside layers (embedding, head) are not counted. -EINVAL: a layer has more chunks. */
int fsmoe_layer_cost_read(struct fsmoe_layer_cost *cost, int layers, fsmoe_graph_t graph,
			  fsmoe_profile_t profile);

/* --- the plan ----------------------------------------------------------------------------- */

/* Gradients that travel together: `pieces` equal parts, one after another. */
struct fsmoe_share
{
	uint64_t bytes;
	int pieces;
};

struct fsmoe_plan_layer
{
	int forward_degree, backward_degree;
	/* The next bytes of the flat list of gradients, in order of readiness: exchanged after the
	 * last dispatch of this layer's backward, and beside its dense part's backward. */
	struct fsmoe_share moe, dense;
};

struct fsmoe_plan
{
	char schedule[FSMOE_SCHEDULE_NAME];
	int layers;
	struct fsmoe_plan_layer *layer; /* in forward order */
	struct fsmoe_share tail;        /* after the backward */
	double forward, backward;       /* predicted seconds */
	double tail_seconds;            /* of the exchange after the backward, on top */
};

/* Makes the plan of a schedule. The caller destroys it. -EINVAL: the problem or row is not
 * valid. */
int fsmoe_plan_create(struct fsmoe_plan *plan, const struct fsmoe_plan_problem *problem,
		      const struct fsmoe_schedule *schedule);
void fsmoe_plan_destroy(struct fsmoe_plan *plan); /* a zeroed one is legal */

/* Predicts the seconds of any plan, made or written by hand: fills forward, backward and
 * tail_seconds. It walks the layers event by event. -EINVAL: the plan has another number of layers,
 * degrees that do not fit, or gradients that are sent before they exist or never. */
int fsmoe_plan_predict(struct fsmoe_plan *plan, const struct fsmoe_plan_problem *problem,
		       const struct fsmoe_schedule *schedule);

/* Writes a plan as JSON; the caller frees *text. Equal plans give equal bytes. */
int fsmoe_plan_text(const struct fsmoe_plan *plan, char **text);
/* Computes a number that is equal for equal plans, to compare ranks. */
int fsmoe_plan_hash(const struct fsmoe_plan *plan, uint64_t *hash);
/* Writes a plan to a file, which is replaced at once or not at all. */
int fsmoe_plan_save(const struct fsmoe_plan *plan, const char *path);
/* Reads a plan. -ENOENT, ...: the file cannot be read; -EPROTO: it is no plan, and the sentence
 * says in which layer. The caller destroys the plan. */
int fsmoe_plan_load(struct fsmoe_plan *plan, const char *path);

/* --- for programs with windows of their own ------------------------------------------------ */

/* A stretch of time in which the lane of the gradients' exchange would idle because other lanes are
 * busy. Windows stand in the order of time. */
struct fsmoe_gradient_window
{
	double seconds;
	uint64_t arrives; /* bytes of gradients that become complete by its start, not before */
};

/*
 * Cuts gradients so that they travel in windows (doc/cost-model.md, equations 6.2 and 6.3).
 * bytes[i] of the complete gradients, whichever, go in window i as one exchange of alpha + beta *
 * bytes seconds. bytes[n] are left for the end, where they take *exposed seconds (may be NULL).
 * Every number is a multiple of `unit` (4 for floats), their sum is what arrives, and no exchange
 * is longer than its window. Ranks that pass equal numbers get equal cuts, so they agree on alpha,
 * beta and seconds first. -EINVAL: a number that is not valid.
 */
int fsmoe_gradient_cut(const struct fsmoe_gradient_window *window, int n, double alpha, double beta,
		       uint64_t unit, uint64_t *bytes, double *exposed);

#ifdef __cplusplus
}
#endif
#endif
