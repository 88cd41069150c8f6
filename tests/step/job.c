/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/step/job.h"
#include "tests/lib/try.h"

#include "base/rng.h"
#include "step/step.h"

#include <stdlib.h>

void job_start(struct job *job, int nodes)
{
	*job = (struct job){0};
	TRY(fsmoe_topo_create(&job->topo, NULL, nodes));
	TRY(fsmoe_groups_create(&job->groups, job->topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&job->rt, job->groups, NULL));
	job->rank = fsmoe_topo_rank(job->topo);
	TRY(fsmoe_model_spec_init(&job->spec, "tiny"));
	fsmoe_train_opts_init(&job->opts);
}

void job_stop(struct job *job)
{
	fsmoe_runtime_stop(job->rt);
	fsmoe_groups_destroy(job->groups);
	fsmoe_topo_destroy(job->topo);
}

void job_random_plan(const struct job *job, uint64_t seed, int most_chunks, struct random_plan *r)
{
	size_t floats[RANDOM_LAYERS];
	struct fsmoe_step_graph step;

	TRY(fsmoe_step_create(&step, job->groups, fsmoe_model_as_forward(&job->spec), &job->opts));
	gradient_floats(step.graph, job->spec.layers, floats);
	fsmoe_step_destroy(&step);
	random_plan(r, seed, job->spec.layers, floats, most_chunks);
}

double job_step(const struct job *job, fsmoe_trainer_t trainer, uint64_t key, int step)
{
	const uint64_t draw = fsmoe_rng_subkey(key, (uint64_t)step);
	const int n = job->opts.global_batch * job->opts.seq_length;
	int32_t *tokens = malloc(2 * (size_t)n * sizeof(*tokens)), *targets = tokens + n;
	struct fsmoe_train_result result;

	TRY(tokens ? 0 : fsmoe_fail(12, "no memory for %d tokens", n));
	for (int i = 0; i < n; i++)
	{
		tokens[i] = (int32_t)(fsmoe_rng_bits(draw, (uint64_t)i) %
				      (uint64_t)job->spec.vocab_size);
		targets[i] = (tokens[i] * 7 + 3) % job->spec.vocab_size;
	}
	TRY(fsmoe_trainer_step(trainer, tokens, targets, 3e-3, &result));
	free(tokens);
	return result.loss;
}
