/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One cost model (any number of ranks; an argument: nodes to pretend): for every task of a training
 * step starpu_task_expected_length() answers what the profile predicts, bit for bit, and the
 * planner's costs are of the same bits. Without a profile nobody answers; with a line missing the
 * answer is unknown.
 */
#include "runtime/runtime_internal.h"
#include "runtime/units.h"
#include "step/step.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <math.h>

static int bad;

#define EXPECT(condition, ...)                                                                     \
	do                                                                                         \
		if (!(condition))                                                                  \
		{                                                                                  \
			printf(__VA_ARGS__);                                                       \
			bad++;                                                                     \
		}                                                                                  \
	while (0)

/* Lines that no two kinds share, with digits to the end. */
static fsmoe_profile_t make_profile(int without)
{
	fsmoe_profile_t profile;

	TRY(fsmoe_profile_create(&profile));
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
		{
			struct fsmoe_fit fit = {.alpha = 1e-5 / (3 + kind + 7 * lane),
						.beta = 1e-10 / (7 + 5 * kind + lane)};

			if (kind != without && FSMOE_KIND_IS_COMM(kind) == (lane != FSMOE_COMPUTE))
				TRY(fsmoe_profile_set(profile, (enum fsmoe_kind)kind,
						      (enum fsmoe_lane)lane, &fit));
		}
	return profile;
}

static double ask_starpu(fsmoe_program_t p, int node)
{
	struct fsmoe_task_template *template = p->templates;
	struct fsmoe_task_args args = {.program = p};
	struct starpu_task task;
	double us;

	starpu_task_init(&task);
	while (template->node[0] != node)
		template ++;
	args.template = template;
	task.cl = template->codelet;
	task.cl_arg = &args;
	us = starpu_task_expected_length(
		&task, starpu_worker_get_perf_archtype(0, STARPU_NMAX_SCHED_CTXS), 0);
	starpu_task_clean(&task);
	return us;
}

static void compare(fsmoe_program_t p, fsmoe_profile_t profile)
{
	int kinds[FSMOE_NKINDS] = {0}, n;
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(p->graph, &n);

	for (int i = 0; i < p->nnodes; i++)
	{
		const struct fsmoe_node *node = &p->nodes[i];
		const double work = fsmoe_node_work(node, tensors);
		double seconds = 0;

		if (work > 0)
			TRY(fsmoe_profile_predict(profile, fsmoe_node_cost_kind(node), node->span,
						  work, &seconds));
		EXPECT(ask_starpu(p, i) == fsmoe_starpu_us(seconds),
		       "%s: StarPU expects %.17g us, the profile %.17g s\n", p->nodes[i].op->name,
		       ask_starpu(p, i), seconds);
		kinds[node->op->kind] += work > 0;
	}
	for (int kind = 0; kind <= FSMOE_KIND_GATE; kind++)
		EXPECT(kinds[kind] > 0, "no task of kind %s was compared\n",
		       fsmoe_kind_name((enum fsmoe_kind)kind));
}

/* The stage of a layer that one node is: what the planner sees of it. */
static void compare_stage(fsmoe_program_t p, const struct fsmoe_stage *stage, enum fsmoe_kind kind)
{
	for (int i = 0; i < p->nnodes; i++)
	{
		const struct fsmoe_node *node = &p->nodes[i];

		if (node->op->kind != kind || node->layer != 0 || node->phase != FSMOE_FORWARD ||
		    node->chunk != 0)
			continue;
		EXPECT(ask_starpu(p, i) == fsmoe_starpu_us(fsmoe_line_seconds(
						   stage->alpha, stage->beta, stage->work / 1)),
		       "%s: the planner has %.17g + %.17g * %.17g\n", p->nodes[i].op->name,
		       stage->alpha, stage->beta, stage->work);
		return;
	}
}

static void compare_plan(fsmoe_program_t p, fsmoe_profile_t profile, int layers)
{
	struct fsmoe_layer_cost cost[layers];

	TRY(fsmoe_layer_cost_read(cost, layers, p->graph, profile));
	compare_stage(p, &cost[0].expert, FSMOE_KIND_EXPERT);
	compare_stage(p, &cost[0].alltoall, FSMOE_KIND_ALLTOALL);
	compare_stage(p, &cost[0].allgather, FSMOE_KIND_ALLGATHER);
	compare_stage(p, &cost[0].reduce_scatter, FSMOE_KIND_REDUCE_SCATTER);
}

/* The graph's simulation is made of the same numbers. */
static void compare_simulation(fsmoe_program_t p, fsmoe_profile_t profile)
{
	struct fsmoe_timeline tl;

	TRY(fsmoe_profile_simulate(profile, p->graph, &tl));
	for (int i = 0; i < p->nnodes; i++)
		EXPECT(tl.ready[i] <= tl.start[i] && fabs(fsmoe_starpu_us(tl.end[i] - tl.start[i]) -
							  ask_starpu(p, i)) < 1e-6,
		       "%s is simulated with %.17g s\n", p->nodes[i].op->name,
		       tl.end[i] - tl.start[i]);
	fsmoe_timeline_destroy(&tl);
}

int main(int argc, char **argv)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_step_graph step;
	struct fsmoe_timeline tl;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	fsmoe_profile_t profile = make_profile(-1), holes = make_profile(FSMOE_KIND_EXPERT);

	TRY(fsmoe_model_spec_init(&spec, "tiny"));
	fsmoe_train_opts_init(&opts);
	TRY(fsmoe_topo_create(&topo, NULL, argc > 1 ? atoi(argv[1]) : 0));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&rt, groups, NULL));
	TRY(fsmoe_step_create(&step, groups, fsmoe_model_as_forward(&spec), &opts));
	TRY(fsmoe_memory_create(&memory, step.graph, FSMOE_F32, NULL));
	TRY(fsmoe_program_create(&program, rt, step.graph, memory));

	EXPECT(ask_starpu(program, 0) == 0, "without a profile a task has a model\n");
	TRY(fsmoe_runtime_set_profile(rt, profile));
	compare(program, profile);
	compare_plan(program, profile, spec.layers);
	compare_simulation(program, profile);
	TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = 1}));
	TRY(fsmoe_program_wait(program));
	TRY(fsmoe_runtime_set_profile(rt, holes));
	for (int i = 0; i < program->nnodes; i++)
		if (program->nodes[i].op->kind == FSMOE_KIND_EXPERT)
			EXPECT(isnan(ask_starpu(program, i)), "a missing line has an answer\n");
	EXPECT(fsmoe_profile_simulate(holes, step.graph, &tl) < 0,
	       "a step was simulated without the experts' line\n");
	TRY(fsmoe_runtime_set_profile(rt, NULL));
	EXPECT(ask_starpu(program, 0) == 0, "a model is left\n");

	if (fsmoe_topo_rank(topo) == 0)
		printf("%d tasks on %d ranks: %d differ\n", program->nnodes, fsmoe_topo_ranks(topo),
		       bad);
	fsmoe_program_destroy(program);
	fsmoe_memory_destroy(memory);
	fsmoe_step_destroy(&step);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	fsmoe_profile_destroy(profile);
	fsmoe_profile_destroy(holes);
	return bad ? 1 : 0;
}
