/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_H
#define FSMOE_PLAN_H

#include <fsmoe/model.h>
#include <fsmoe/profile.h>
#include <fsmoe/schedule.h>

/*
 * From what tasks cost to what a step does: how many chunks every MoE layer is cut into, and which
 * bytes of gradients travel beside which part of the backward. Pure arithmetic: the same problem
 * gives the same plan, bit for bit, on every run and every rank. doc/cost-model.md has the
 * equations and names the function of each.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* --- the problem -------------------------------------------------------------------------- */

/* A stage of a layer: cut into r chunks, each takes alpha + beta * (work / r) seconds. */
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
	/* The buffers that gradient_bytes lie in, in the order in which they are sent. An AllReduce
	 * ends with its buffer, and the next one starts anew. 0 buckets: in one buffer with those
	 * of all layers, as the paper has them. */
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
	/* 1: the layers go round: each has the gradients of the one before it in backward, the
	 * first those of the last. What is left is exposed in the layer. A layer in the middle of
	 * a long model; 0: a model from end to end. */
	int steady;
};

/* What a layer is, for costs by formula. */
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

/* The models that papers measure ("gpt2-xl", ...) and those of fsmoe/model.h; *layers of them.
 * batch, mp and ep are 1. -ENOENT lists the names. */
int fsmoe_layer_sizes_init(struct fsmoe_layer_sizes *sizes, int *layers, const char *preset);
/* The names of the former, i = 0, 1, ... until NULL. */
const char *fsmoe_layer_sizes_name(int i);

/* -ENODATA names the line that the profile lacks; -EINVAL a size that is none. */
int fsmoe_layer_cost_init(struct fsmoe_layer_cost *cost, fsmoe_profile_t profile,
			  const struct fsmoe_layer_sizes *sizes);

/* The same of every layer, read off a step's graph whose layers have one chunk each: the work of
 * its first micro-batch at the profile's lines, the gradients that are summed over ranks, slots.
 * Nodes of no layer (embedding, head) are not counted. -EINVAL: more chunks. */
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
	/* From the flat list of gradients that are ready, in order of readiness: exchanged after
	 * the last dispatch of this layer's backward, and beside its dense part's backward. */
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

/* Makes the plan of a schedule. -EINVAL: a problem or row that is none. */
int fsmoe_plan_create(struct fsmoe_plan *plan, const struct fsmoe_plan_problem *problem,
		      const struct fsmoe_schedule *schedule);
void fsmoe_plan_destroy(struct fsmoe_plan *plan); /* a zeroed one is legal */

/* Fills forward, backward and tail_seconds of any plan, made or written by hand, by walking its
 * layers event by event. -EINVAL: other layers, degrees that do not fit, gradients sent before
 * they exist, or not all of them. */
int fsmoe_plan_predict(struct fsmoe_plan *plan, const struct fsmoe_plan_problem *problem,
		       const struct fsmoe_schedule *schedule);

/* As JSON; the caller frees *text. Equal plans give equal bytes. */
int fsmoe_plan_text(const struct fsmoe_plan *plan, char **text);
/* A number to compare between ranks: equal for equal plans. */
int fsmoe_plan_hash(const struct fsmoe_plan *plan, uint64_t *hash);
/* Replaces the file at once or not at all. */
int fsmoe_plan_save(const struct fsmoe_plan *plan, const char *path);
/* -ENOENT, ...; -EPROTO "PATH: layer 3: what is wrong with it". */
int fsmoe_plan_load(struct fsmoe_plan *plan, const char *path);

/* --- for programs with windows of their own ------------------------------------------------ */

/* A stretch of time in which the lane of the gradients' exchange would idle: other lanes are busy
 * for so long, by whatever model tells. Windows stand in the order of time. */
struct fsmoe_gradient_window
{
	double seconds;
	uint64_t arrives; /* bytes of gradients that become complete by its start, not before */
};

/*
 * How to cut gradients so that they travel in windows (doc/cost-model.md, steps 6.2 and 6.3): of
 * what is complete, bytes[i] go in window i, as one exchange that takes alpha + beta * bytes
 * seconds; bytes[n] are left for the end, where they take *exposed seconds (may be NULL). Of the
 * complete ones any will do. Every number is a multiple of `unit` (4 for floats); all together are
 * what arrives; no exchange is longer than its window. Pure arithmetic: where ranks give equal
 * numbers they cut alike, so agree on alpha, beta and seconds first. -EINVAL: numbers that are
 * none.
 */
int fsmoe_gradient_cut(const struct fsmoe_gradient_window *window, int n, double alpha, double beta,
		       uint64_t unit, uint64_t *bytes, double *exposed);

#ifdef __cplusplus
}
#endif
#endif
