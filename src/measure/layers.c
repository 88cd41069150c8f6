/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "measure/sampler.h"
#include "step/step.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>

/*
 * Computation: training steps of one layer of the model, so that every operation runs with the
 * model's widths, on routing that a gate decided, beside what it runs beside. Sizes come from the
 * number of tokens and of chunks.
 */
static const struct variant
{
	double sequences, seq; /* over the model's */
	int degree;
} variants[] = {
	{1, 0.5, 1}, {1, 1, 1}, {1, 1, 2}, {1, 1, 4}, {2, 1, 1},
};
#define NVARIANTS (int)(sizeof(variants) / sizeof(variants[0]))

static int computes(const struct fsmoe_node *node)
{
	return !FSMOE_KIND_IS_COMM(node->op->kind);
}

static void fill_inputs(const struct fsmoe_step_graph *s, fsmoe_memory_t memory, int rank,
			int vocab)
{
	int n;
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(s->graph, &n);
	int32_t *tokens = fsmoe_memory_data(memory, s->batch[0].tokens),
		*targets = fsmoe_memory_data(memory, s->batch[0].targets);
	const size_t rows = fsmoe_shape_count(&tensors[s->batch[0].tokens].shape);

	for (size_t i = 0; i < rows; i++)
	{
		tokens[i] = (int32_t)(fsmoe_rng_bits(fsmoe_rng_key(1, "measure"),
						     (uint64_t)rank * rows + i) %
				      (uint64_t)vocab);
		targets[i] = (tokens[i] + 1) % vocab;
	}
}

/* Sets a variant's sizes; 0: they do not fit the layout. */
static int vary(const struct variant *v, fsmoe_groups_t groups, struct fsmoe_model_spec *model,
		struct fsmoe_train_opts *train)
{
	const int dp = fsmoe_group_size(groups, FSMOE_GROUP_DP),
		  mp = fsmoe_group_size(groups, FSMOE_GROUP_TP);
	const double sequences = v->sequences * (train->global_batch / dp / train->micro_batches),
		     seq = v->seq * train->seq_length;

	if (sequences < 1 || seq < mp || (int)seq % mp)
		return 0;
	train->global_batch = dp * (int)sequences;
	train->micro_batches = 1;
	train->seq_length = (int)seq;
	model->seq_length = train->seq_length;
	model->layers = 1;
	model->forward_degree = model->backward_degree = v->degree;
	return !fsmoe_model_spec_check(model, groups);
}

static int run_variant(struct fsmoe_sampler *sampler, const struct fsmoe_model_spec *model,
		       const struct fsmoe_train_opts *train, double seconds)
{
	struct fsmoe_model_spec spec = *model;
	struct fsmoe_step_graph step;
	fsmoe_memory_t memory = NULL;
	int err = fsmoe_step_create(&step, fsmoe_runtime_groups(sampler->runtime),
				    fsmoe_model_as_forward(&spec), train);

	if (err)
		return err;
	err = fsmoe_memory_create(&memory, step.graph, FSMOE_F32, NULL);
	if (!err)
		err = fsmoe_memory_init_params(memory, 1);
	if (!err)
	{
		fill_inputs(&step, memory, sampler->world->rank, spec.vocab_size);
		err = fsmoe_sampler_run(sampler, step.graph, memory, seconds, computes);
	}
	fsmoe_memory_destroy(memory);
	fsmoe_step_destroy(&step);
	return err;
}

int fsmoe_sampler_layers(struct fsmoe_sampler *sampler, const struct fsmoe_model_spec *model,
			 const struct fsmoe_train_opts *train, double seconds)
{
	int done = 0, err = 0;

	for (int i = 0; i < NVARIANTS && !err; i++)
	{
		struct fsmoe_model_spec spec = *model;
		struct fsmoe_train_opts opts = *train;

		if (!vary(&variants[i], fsmoe_runtime_groups(sampler->runtime), &spec, &opts))
			continue;
		err = run_variant(sampler, &spec, &opts, seconds / NVARIANTS);
		/* More chunks than slots, a routing group that does not divide: another variant. */
		if (err == -EINVAL)
			err = 0;
		else
			done++;
	}
	if (!err && done < 2)
		err = fsmoe_fail(EINVAL,
				 "this model can be measured in fewer than two sizes: %d sequences "
				 "of %d tokens a rank cannot be halved or doubled",
				 train->global_batch, train->seq_length);
	return err;
}
