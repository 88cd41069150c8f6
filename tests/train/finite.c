/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps whose loss is no finite number (any number of ranks), whether that begins on all ranks or
 * on one: on every rank the sentence names the step, the layer, the operation and the rank, no
 * parameter and no moment changes, and the next step is as good as if nothing had happened. An
 * argument: nodes to pretend.
 */
#include <errno.h>
#include "tests/lib/try.h"
#include "train/trainer.h"

#include <fsmoe.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
	BATCH = 8,
	SEQ = 16
};

static int32_t tokens[BATCH * SEQ], targets[BATCH * SEQ];

/* Parameters and moments, summed up so that any change shows. */
static double everything(fsmoe_trainer_t trainer)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(fsmoe_trainer_graph(trainer), &n);
	double sum = 0;

	for (int i = 0; i < n; i++)
	{
		const float *x = fsmoe_memory_data(fsmoe_trainer_memory(trainer), i);
		if (t[i].base != i || (t[i].role != FSMOE_PARAM && t[i].role != FSMOE_STATE))
			continue;
		for (size_t k = 0; k < fsmoe_shape_count(&t[i].shape); k++)
			sum += x[k] * (double)(k % 7 + 1);
	}
	return sum;
}

/* With one number of a parameter replaced, where `here` is 1, the step fails on every rank and says
 * all of this. */
static int breaks(fsmoe_trainer_t trainer, int here, const char *name, float value,
		  const char *const *parts)
{
	float *x = fsmoe_memory_data(fsmoe_trainer_memory(trainer),
				     fsmoe_graph_find(fsmoe_trainer_graph(trainer), name));
	const float good = x[0];
	struct fsmoe_train_result result;
	double before = everything(trainer);
	int err, bad = 0;

	x[0] = here ? value : good;
	err = fsmoe_trainer_step(trainer, tokens, targets, 1e-3, &result);
	x[0] = good;
	if (err != -EDOM)
	{
		printf("%s = %g: the step returns %d\n", name, value, err);
		return 1;
	}
	for (; *parts; parts++)
		if (!strstr(fsmoe_last_error(), *parts))
		{
			printf("'%s' does not say '%s'\n", fsmoe_last_error(), *parts);
			bad = 1;
		}
	if (everything(trainer) != before)
	{
		printf("%s = %g: something was updated\n", name, value);
		bad = 1;
	}
	return bad;
}

/* A gate, the parameter that makes its logits infinite, and the operation that makes them. */
static const struct victim
{
	const char *gate, *parameter, *operation;
} victims[] = {
	{"topk", "h.1.moe.gate.weight", "in the operation 'gate_logits'"},
	{"gshard", "h.1.moe.gate.noise", "in the operation 'gate_logits'"},
	{"sigmoid", "h.1.moe.gate.weight", "in the operation 'gate_logits'"},
	{"xmoe", "h.1.moe.gate.projection", "in the operation 'gate_logits'"},
	{"expert-choice", "h.1.moe.gate.weight", "in the operation 'gate_logits'"},
	{"softmoe", "h.1.moe.gate.phi", "in the operation 'linear'"},
};

/* Infinite logits on one rank alone: each in turn, with a good step between. */
static int one_after_another(fsmoe_trainer_t trainer, fsmoe_topo_t topo, const struct victim *v)
{
	struct fsmoe_train_result result;
	char step[32], rank[32];
	int bad = 0;

	for (int r = 0; r < fsmoe_topo_ranks(topo); r++)
	{
		snprintf(step, sizeof(step), "step %llu: the ",
			 (unsigned long long)fsmoe_trainer_steps(trainer) + 1);
		snprintf(rank, sizeof(rank), "on rank %d", r);
		bad |= breaks(trainer, r == fsmoe_topo_rank(topo), v->parameter, 3e38f,
			      (const char *const[]){step, "in layer 1", v->operation,
						    "micro-batch 0", rank, NULL});
		TRY(fsmoe_trainer_step(trainer, tokens, targets, 1e-3, &result));
	}
	return bad;
}

static int every_gate(fsmoe_runtime_t rt, fsmoe_topo_t topo, struct fsmoe_model_spec spec,
		      const struct fsmoe_train_opts *opts)
{
	int bad = 0;

	spec.allow_leak = 1;
	for (size_t i = 0; i < sizeof(victims) / sizeof(victims[0]); i++)
	{
		fsmoe_trainer_t trainer;

		spec.gate = victims[i].gate;
		TRY(fsmoe_trainer_create(&trainer, rt, fsmoe_model_as_forward(&spec), opts));
		bad |= one_after_another(trainer, topo, &victims[i]);
		fsmoe_trainer_destroy(trainer);
	}
	return bad;
}

int main(int argc, char **argv)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_train_result result;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	fsmoe_trainer_t trainer;
	int bad = 0;

	for (int i = 0; i < BATCH * SEQ; i++)
	{
		tokens[i] = i * 31 % 256;
		targets[i] = (i * 31 + 7) % 256;
	}
	TRY(fsmoe_model_spec_init(&spec, "tiny"));
	fsmoe_train_opts_init(&opts);
	opts.global_batch = BATCH;
	opts.seq_length = SEQ;
	TRY(fsmoe_topo_create(&topo, NULL, argc > 1 ? atoi(argv[1]) : 0));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&rt, groups, NULL));
	TRY(fsmoe_trainer_create(&trainer, rt, fsmoe_model_as_forward(&spec), &opts));
	TRY(fsmoe_trainer_step(trainer, tokens, targets, 1e-3, &result));
	bad |= breaks(trainer, 1, "h.1.ln_2.weight", NAN,
		      (const char *const[]){"step 2: the ",
					    "it was in the parameter 'h.1.ln_2.weight'", NULL});
	bad |= breaks(trainer, 1, "h.1.ln_1.weight", 3e38f,
		      (const char *const[]){"step 3: the ", "in layer 1", "in the operation '",
					    "micro-batch 0", NULL});
	TRY(fsmoe_trainer_step(trainer, tokens, targets, 1e-3, &result));
	if (!isfinite(result.loss) || !isfinite(result.grad_norm))
	{
		printf("the step after gives %g\n", result.loss);
		bad = 1;
	}
	fsmoe_trainer_destroy(trainer);
	bad |= every_gate(rt, topo, spec, &opts);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return bad;
}
