/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "check.h"
#include "tests/lib/try.h"
#include "tests/step/job.h"

#include <fsmoe.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Planning anew between two steps on a GPU, by random rows and plans (their weight gradients may
 * delay what a chunk sends back): losses are those of a run that was planned so from the start, and
 * no step allocates. On one rank, or by mpirun on several. */

enum
{
	STEPS = 6,
	BEFORE = 3, /* steps by the first plan */
	PLANS = 3
};

static const struct
{
	const char *executor, *dtype, *cta_policy;
	int fuse;
} ways[] = {
	{"stream", "fp32", "default", 0},
	{"starpu", "fp32", "default", 1},
	{"stream", "bf16", "zero", 0},
	{"starpu", "bf16", "zero", 1},
};

static int train(const struct job *j, fsmoe_trainer_t trainer, int from, int to, double *loss)
{
	const struct cuda_calls before = count_cuda_calls();

	for (int i = from; i < to; i++)
		loss[i] = job_step(j, trainer, fsmoe_rng_key(9, "replan"), i);
	return count_is_idle(&before);
}

static int delays(fsmoe_trainer_t trainer)
{
	int n, delays = 0;
	const struct fsmoe_node *node = fsmoe_graph_nodes(fsmoe_trainer_graph(trainer), &n);

	for (int i = 0; i < n; i++)
		delays += node[i].delays != FSMOE_NONE;
	return delays;
}

static int check(struct job *j, uint64_t seed, double bound, int *delayed)
{
	struct fsmoe_train_opts planned = j->opts;
	double want[STEPS], got[STEPS];
	struct random_plan first, second;
	fsmoe_trainer_t trainer;
	int bad = 0;

	job_random_plan(j, seed, 4, &first);
	job_random_plan(j, seed + PLANS, 4, &second);
	planned.schedule = &second.row;
	planned.plan = &second.plan;
	TRY(fsmoe_trainer_create(&trainer, j->rt, fsmoe_model_as_forward(&j->spec), &planned));
	bad += train(j, trainer, 0, STEPS, want);
	fsmoe_trainer_destroy(trainer);

	planned.schedule = &first.row;
	planned.plan = &first.plan;
	TRY(fsmoe_trainer_create(&trainer, j->rt, fsmoe_model_as_forward(&j->spec), &planned));
	bad += train(j, trainer, 0, BEFORE, got);
	TRY(fsmoe_trainer_replan(trainer, &second.row, &second.plan));
	bad += train(j, trainer, BEFORE, STEPS, got);
	*delayed += delays(trainer);
	if (j->rank == 0)
		printf("  plan %d, %d nodes delay what is sent back: losses %.7f .. %.7f planned "
		       "anew, %.7f .. %.7f from the start\n",
		       (int)seed, delays(trainer), got[0], got[STEPS - 1], want[0],
		       want[STEPS - 1]);
	fsmoe_trainer_destroy(trainer);
	for (int i = 0; i < STEPS; i++)
		if (!(fabs(got[i] - want[i]) <= bound * fabs(want[i])))
		{
			printf("rank %d, plan %d, step %d: loss is off by: %.9g planned anew, %.9g "
			       "from the start\n",
			       j->rank, (int)seed, i + 1, got[i], want[i]);
			bad++;
		}
	return bad;
}

int check_replan(void)
{
	struct job j = {0};
	int bad = 0, delayed = 0, ranks;

	TRY(fsmoe_topo_create(&j.topo, NULL, 0));
	ranks = fsmoe_topo_ranks(j.topo);
	TRY(fsmoe_groups_create(
		&j.groups, j.topo,
		&(struct fsmoe_layout){.dp = ranks, .tp = 1, .ep = ranks, .esp = 1}));
	j.rank = fsmoe_topo_rank(j.topo);
	TRY(fsmoe_model_spec_init(&j.spec, "tiny"));
	fsmoe_train_opts_init(&j.opts);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
	{
		struct fsmoe_runtime_opts opts;

		if (j.rank == 0)
			printf("executor %s, %s, CTA policy %s\n", ways[i].executor, ways[i].dtype,
			       ways[i].cta_policy);
		fsmoe_runtime_opts_init(&opts);
		opts.device = "cuda";
		opts.executor = ways[i].executor;
		opts.dtype = ways[i].dtype;
		opts.cta_policy = ways[i].cta_policy;
		opts.fuse = ways[i].fuse;
		TRY(fsmoe_runtime_start(&j.rt, j.groups, &opts));
		for (uint64_t seed = 1; seed <= PLANS; seed++)
			bad += check(&j, seed, strcmp(ways[i].dtype, "bf16") ? 1e-4 : 5e-3,
				     &delayed);
		fsmoe_runtime_stop(j.rt);
	}
	fsmoe_groups_destroy(j.groups);
	fsmoe_topo_destroy(j.topo);
	if (!delayed)
		printf("no plan delays anything\n");
	return bad + !delayed;
}
