/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_EXAMPLES_TINY_H
#define FSMOE_EXAMPLES_TINY_H

#include <fsmoe.h>
#include <stdio.h>
#include <stdlib.h>

/* What the examples of modules have in common: 30 steps of the model "tiny", changed by the caller,
 * on tokens that count upwards. argv[1]: how many nodes the ranks pretend to be. */

#define TRY(call)                                                                                  \
	if ((call) < 0)                                                                            \
	return fprintf(stderr, "%s\n", fsmoe_last_error()), 1

static int train_tiny(int argc, char **argv, void (*change)(struct fsmoe_model_spec *spec))
{
	static int32_t tokens[16 * 16], targets[16 * 16];
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_train_result result = {0};
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	fsmoe_trainer_t trainer;

	TRY(fsmoe_topo_create(&topo, NULL, argc > 1 ? atoi(argv[1]) : 0));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&rt, groups, NULL));
	TRY(fsmoe_model_spec_init(&spec, "tiny"));
	spec.routing_group = 8; /* the same groups on every layout, so the same numbers */
	change(&spec);
	fsmoe_train_opts_init(&opts);
	opts.global_batch = 16;
	TRY(fsmoe_trainer_create(&trainer, rt, fsmoe_model_as_forward(&spec), &opts));
	for (int step = 0; step < 30; step++)
	{
		for (int i = 0; i < 16 * 16; i++)
			targets[i] = (tokens[i] = (step + i) % 32) + 1;
		TRY(fsmoe_trainer_step(trainer, tokens, targets, 0.01, &result));
	}
	if (fsmoe_topo_rank(topo) == 0)
		printf("loss %.6f after 30 steps\n", result.loss);
	fsmoe_trainer_destroy(trainer);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return result.loss < 4 ? 0 : 1; /* it began at log 256 */
}

#endif
