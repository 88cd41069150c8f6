/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_H
#define FSMOE_TRAIN_H

#include <fsmoe/graph.h>
#include <fsmoe/model.h>
#include <fsmoe/plan.h>
#include <fsmoe/runtime.h>

/*
 * Training: a forward function makes the graph of a micro-batch; the trainer derives the backward,
 * adds the exchange of gradients and the optimizer, and runs the same graph in every step.
 * Everything here is collective over the job unless it says otherwise.
 */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsmoe_trainer *fsmoe_trainer_t;

struct fsmoe_train_opts
{
	size_t size;      /* set by fsmoe_train_opts_init */
	int global_batch; /* sequences of a step; DP * micro_batches divides it */
	int micro_batches;
	int seq_length;        /* tokens of a sequence */
	int targets;           /* tokens of a sequence that count in the loss; 0: all */
	const char *optimizer; /* "adamw" or "sgd" */
	double beta1, beta2, eps, weight_decay, clip_grad_norm;
	uint64_t seed;
	/*
	 * How the step is laid out in time; read while it is built. Neither changes a value except
	 * by rounding, and not even that at equal degrees and `weight_gradients`.
	 *
	 * schedule: lanes, order of chunks, weight gradients, when gradients are exchanged. NULL:
	 * the plan's; without a plan one lane for each span, gradients at the end.
	 * plan: the degrees of every layer, and which bytes of gradients travel beside which part
	 * of the last micro-batch's backward; what it does not name goes at the end. The same on
	 * every rank. NULL: the degrees that the layers ask for; the gradients that are ready
	 * follow the schedule's rule,
	 *   beside-dense  all beside the dense part,
	 *   fixed         a piece beside the experts, the others beside the dense part,
	 *   adaptive      half beside the experts, the rest beside the dense part.
	 */
	const struct fsmoe_schedule *schedule;
	const struct fsmoe_plan *plan;
};

/* Sets the defaults. */
void fsmoe_train_opts_init(struct fsmoe_train_opts *opts);

/* Plans a step: builds its graph with one chunk per layer, computes each layer's cost by the
 * profile, and makes the plan of a schedule with at most max_degree chunks. The graph is that of
 * rank 0, on every rank. Local: ranks with the same profile, sizes and options make the same plan.
 * The caller destroys the plan. -ENODATA names a line that the profile lacks. */
int fsmoe_train_plan(struct fsmoe_plan *plan, fsmoe_groups_t groups, struct fsmoe_forward forward,
		     const struct fsmoe_train_opts *opts, const struct fsmoe_schedule *schedule,
		     fsmoe_profile_t profile, int max_degree);

/* Predicts a plan's seconds by a profile: fills its `forward`, `backward` and `tail_seconds`, as
 * fsmoe_train_plan does. Local. -EINVAL: the plan does not fit the model. */
int fsmoe_train_predict(struct fsmoe_plan *plan, fsmoe_groups_t groups,
			struct fsmoe_forward forward, const struct fsmoe_train_opts *opts,
			const struct fsmoe_schedule *schedule, fsmoe_profile_t profile);

/* Returns the predicted seconds of a plan's layers in a step of so many micro-batches. Local. */
double fsmoe_train_plan_seconds(const struct fsmoe_plan *plan, int micro_batches);

/* The predicted seconds of a step's layers with each dispatch. */
struct fsmoe_dispatch_times
{
	int n;
	struct
	{
		const char *dispatch; /* static */
		double seconds;       /* below 0: the profile lacks a line for it */
	} time[32];
};

/* Chooses the fastest dispatch: plans a step of the model with each of them, as fsmoe_train_plan
 * does, and sets model->dispatch; of equally fast ones the first is taken. Local, the same on all
 * ranks as in fsmoe_train_plan. -ENODATA: the profile has no line for any of them; -EINVAL: the
 * model cannot be built. */
int fsmoe_train_choose_dispatch(struct fsmoe_model_spec *model, struct fsmoe_dispatch_times *times,
				fsmoe_groups_t groups, const struct fsmoe_train_opts *opts,
				const struct fsmoe_schedule *schedule, fsmoe_profile_t profile,
				int max_degree);

/* Makes a trainer: builds the step's graph, allocates its memory, fills the parameters from the
 * seed. The runtime must outlive it, and so must forward.arg if the trainer replans. -EINVAL, on
 * every rank, if one has another plan. */
int fsmoe_trainer_create(fsmoe_trainer_t *trainer, fsmoe_runtime_t runtime,
			 struct fsmoe_forward forward, const struct fsmoe_train_opts *opts);
void fsmoe_trainer_destroy(fsmoe_trainer_t trainer); /* NULL is legal */

/*
 * Changes the plan (and the schedule; NULL: the plan's) from the next step on. Builds the step's
 * graph anew; parameters and optimizer state keep their bits, and so does memory that shares them.
 * The graph, memory and program that the trainer has lent are gone. -EINVAL, on every rank, if one
 * has another plan or the plan does not fit the model: nothing has changed then. After another
 * failure the trainer can only be destroyed.
 */
int fsmoe_trainer_replan(fsmoe_trainer_t trainer, const struct fsmoe_schedule *schedule,
			 const struct fsmoe_plan *plan);

struct fsmoe_train_result
{
	double loss;      /* mean over the global batch; the same on every rank */
	double grad_norm; /* before clipping */
	double seconds;   /* of the step */
	size_t tokens;    /* of the global batch */
};

/* Takes one step on the global batch: `tokens` and `targets` are (batch, seq) int32, the same on
 * every rank, which takes its share; targets < 0 do not count. Blocks. -EDOM, on every rank: the
 * loss or the gradient is not finite; the sentence says where that began, no parameter was changed,
 * the step counts, and the next one may be taken. */
int fsmoe_trainer_step(fsmoe_trainer_t trainer, const int32_t *tokens, const int32_t *targets,
		       double lr, struct fsmoe_train_result *result);

/* Steps that were taken, with those of the run that a checkpoint continues. Local. */
uint64_t fsmoe_trainer_steps(fsmoe_trainer_t trainer);

/* The step's graph, its memory and its program, for inspection; the trainer's, until it replans.
 * Local. */
fsmoe_graph_t fsmoe_trainer_graph(fsmoe_trainer_t trainer);
fsmoe_memory_t fsmoe_trainer_memory(fsmoe_trainer_t trainer);
fsmoe_program_t fsmoe_trainer_program(fsmoe_trainer_t trainer);

/* --- replanning while training ------------------------------------------------------------- */

/*
 * A replanner watches whether tasks still take what the profile says (fsmoe/drift.h). If they have
 * drifted, it plans the step by a fresh profile, and the trainer adopts the new plan if that is
 * predicted to gain enough.
 */
typedef struct fsmoe_replanner *fsmoe_replanner_t;

struct fsmoe_replan_opts
{
	size_t size;       /* set by fsmoe_replan_opts_init */
	double bound;      /* of fsmoe_drift_create */
	double least_gain; /* part of the predicted time that a new plan must gain, 0 to 1 */
	int every, rarest; /* steps between two checks: doubles while tasks drift, up to rarest */
	int max_degree;    /* chunks of a layer in a new plan */
	const struct fsmoe_schedule *schedule; /* copied; NULL: the plan's, by its name */
};

/* Sets the defaults: bound 0.25, gain 0.01, every 10 to 640 steps, 8 chunks, the plan's
 * schedule. */
void fsmoe_replan_opts_init(struct fsmoe_replan_opts *opts);

enum fsmoe_replan_state
{
	FSMOE_REPLAN_NONE,    /* nothing new */
	FSMOE_REPLAN_DRIFTED, /* tasks have drifted and replanning is off; reported once */
	FSMOE_REPLAN_KEPT,    /* planned anew, but the old plan is as good */
	FSMOE_REPLAN_ADOPTED  /* the trainer follows a new plan */
};

struct fsmoe_replan_result
{
	enum fsmoe_replan_state state;
	char sentence[160]; /* what has drifted */
	/* After KEPT and ADOPTED: the plan before, predicted by the fresh profile, and the seconds
	 * that the old profile had predicted. The plan is the replanner's, until its next step. */
	const struct fsmoe_plan *before;
	double promised;
};

/* Makes a replanner. *plan is what the trainer follows; the replanner replaces it. NULL, or without
 * layers: drift is only reported. The trainer's runtime follows the profile from now on
 * (fsmoe_runtime_set_profile). Trainer, plan and profile must outlive the replanner. -ENODATA
 * names a line that the profile lacks for the step. */
int fsmoe_replanner_create(fsmoe_replanner_t *replanner, fsmoe_trainer_t trainer,
			   struct fsmoe_plan *plan, fsmoe_profile_t profile,
			   const struct fsmoe_replan_opts *opts);
void fsmoe_replanner_destroy(fsmoe_replanner_t replanner); /* NULL is legal */

/* Observes the last step; every so many steps the ranks check for drift together. To be called
 * after every step, on all ranks, with the same `may_replan` (0: drift is only reported). With
 * fsmoe_runtime_record, times include choosing and starting a task, as in a measured profile. All
 * ranks get the same result. After a failure the trainer can only be destroyed. */
int fsmoe_replanner_step(fsmoe_replanner_t replanner, int may_replan,
			 struct fsmoe_replan_result *result);

/* The profile in use: the given one, or the last fresh one; the replanner's. Local. */
fsmoe_profile_t fsmoe_replanner_profile(fsmoe_replanner_t replanner);

#ifdef __cplusplus
}
#endif
#endif
