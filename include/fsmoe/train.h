/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_H
#define FSMOE_TRAIN_H

#include <fsmoe/graph.h>
#include <fsmoe/model.h>
#include <fsmoe/plan.h>
#include <fsmoe/runtime.h>

/*
 * Training: a forward function makes the graph of a micro-batch; the trainer derives the
 * backward, adds the exchange of gradients and the optimizer, and runs the same graph every
 * step. Everything here is collective over the job unless it says otherwise.
 */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsmoe_trainer *fsmoe_trainer_t;

/* Appends the forward of one micro-batch and returns its loss (one element, this rank's
 * share of the global mean). Called once per micro-batch while the graph is built. */
typedef fsmoe_tensor_t (*fsmoe_forward_fn)(fsmoe_graph_t graph,
					   const struct fsmoe_batch_spec *batch, void *arg);

struct fsmoe_train_opts
{
	size_t size;      /* set by fsmoe_train_opts_init */
	int global_batch; /* sequences of the global global_batch; DP * microbatches divides it */
	int micro_batches;
	int seq_length;        /* tokens of a sequence */
	int targets;           /* of them count in the loss; 0: all */
	const char *optimizer; /* "adamw" or "sgd" */
	double beta1, beta2, eps, weight_decay, clip_grad_norm;
	uint64_t seed;
	/*
	 * How the step is laid out in time; used while it is built. Neither changes a value but by
	 * rounding, and not even that at equal degrees and `weight_gradients`.
	 *
	 * schedule: a row: lanes, order of chunks, weight gradients, when gradients are exchanged.
	 * NULL: the plan's; without a plan a lane for either span, gradients at the end.
	 * plan: degrees of every layer, and which bytes of gradients travel beside which part of
	 * the last micro-batch's backward; what it does not name goes at the end. The same on
	 * every rank. NULL: the degrees that the layers ask for, and of the gradients that are
	 * ready, by the schedule's rule,
	 *   beside-dense  all beside the dense part,
	 *   fixed         a piece beside the experts, the others beside the dense part,
	 *   adaptive      half beside the experts, the rest beside the dense part.
	 */
	const struct fsmoe_schedule *schedule;
	const struct fsmoe_plan *plan;
};

void fsmoe_train_opts_init(struct fsmoe_train_opts *opts);

/*
 * Plans a step: builds its graph with one chunk a layer, reads off what it costs by the profile's
 * lines, and plans it for a schedule, with at most max_degree chunks. The graph is that of rank 0,
 * on every rank. Local: the same on every rank that has the same profile, sizes and options. Free
 * with fsmoe_plan_destroy. -ENODATA names a line that the profile lacks.
 */
int fsmoe_train_plan(struct fsmoe_plan *plan, fsmoe_groups_t groups, fsmoe_forward_fn forward,
		     void *arg, const struct fsmoe_train_opts *opts,
		     const struct fsmoe_schedule *schedule, fsmoe_profile_t profile,
		     int max_degree);

/* What a plan takes by a profile: fills its `forward`, `backward` and `tail_seconds`, as
 * fsmoe_train_plan does for the one it makes. -EINVAL: it does not fit. */
int fsmoe_train_predict(struct fsmoe_plan *plan, fsmoe_groups_t groups, fsmoe_forward_fn forward,
			void *arg, const struct fsmoe_train_opts *opts,
			const struct fsmoe_schedule *schedule, fsmoe_profile_t profile);

/* Builds the step's graph, allocates its memory, fills the parameters from the seed. The
 * runtime must outlive it. -EINVAL, on every rank, where one has another plan. */
int fsmoe_trainer_create(fsmoe_trainer_t *trainer, fsmoe_runtime_t runtime,
			 fsmoe_forward_fn forward, void *arg, const struct fsmoe_train_opts *opts);
void fsmoe_trainer_destroy(fsmoe_trainer_t trainer);
/*
 * Lays the steps from the next one on out by another plan (and row, NULL: the plan's), which every
 * rank must have alike: the step's graph is built anew, parameters and the optimizer's state stay
 * as they are, bit by bit, and so does what shares their memory. Graph, memory and program that the
 * trainer gave are gone. `forward` and `arg` as it was created with. -EINVAL, on every rank, where
 * one has another plan or it does not fit the model: nothing has changed then; after another
 * failure the trainer can only be destroyed.
 */
int fsmoe_trainer_replan(fsmoe_trainer_t trainer, fsmoe_forward_fn forward, void *arg,
			 const struct fsmoe_schedule *schedule, const struct fsmoe_plan *plan);

struct fsmoe_train_result
{
	double loss;      /* mean over the global batch; the same on every rank */
	double grad_norm; /* before clipping */
	double seconds;   /* of the step */
	size_t tokens;    /* of the global batch */
};

/* One step on the global batch: `tokens` and `targets` are (batch, seq) int32, the same on
 * every rank (each takes its share); targets < 0 are not counted. Blocks. -EDOM, on every rank:
 * the loss or the gradient is not finite; the sentence says where that began, no parameter was
 * changed, the step counts, and the next one may be taken. */
int fsmoe_trainer_step(fsmoe_trainer_t trainer, const int32_t *tokens, const int32_t *targets,
		       double lr, struct fsmoe_train_result *result);

/* Local. For those who look inside: the step's graph, its memory, its StarPU side. */
fsmoe_graph_t fsmoe_trainer_graph(fsmoe_trainer_t trainer);
fsmoe_memory_t fsmoe_trainer_memory(fsmoe_trainer_t trainer);
fsmoe_program_t fsmoe_trainer_program(fsmoe_trainer_t trainer);

#ifdef __cplusplus
}
#endif
#endif
