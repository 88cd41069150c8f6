/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"
#include "step/step.h"
#include "topo/topo.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

static int count_layers(const struct fsmoe_graph *g)
{
	int layers = 0;

	for (int i = 0; i < g->nnodes; i++)
		layers = g->nodes[i].layer >= layers ? g->nodes[i].layer + 1 : layers;
	return layers;
}

/* Reads the line by which gradients of replicated weights are summed: between nodes if the job has
 * several. */
static int read_allreduce(struct fsmoe_plan_problem *problem, fsmoe_groups_t groups,
			  fsmoe_profile_t profile)
{
	const int spans = fsmoe_group_spans_nodes(groups, FSMOE_GROUP_WORLD);
	struct fsmoe_fit fit = {0};
	int err = 0;

	if (fsmoe_group_size(groups, FSMOE_GROUP_WORLD) > 1)
		err = fsmoe_profile_get(profile, FSMOE_KIND_ALLREDUCE,
					spans ? FSMOE_INTER : FSMOE_INTRA, &fit);
	problem->allreduce_alpha = fit.alpha;
	problem->allreduce_beta = fit.beta;
	return err;
}

int fsmoe_step_problem(struct fsmoe_plan_problem *problem, fsmoe_groups_t groups,
		       struct fsmoe_forward forward, const struct fsmoe_train_opts *opts,
		       fsmoe_profile_t profile)
{
	struct fsmoe_schedule row = *fsmoe_schedule_default();
	struct fsmoe_train_opts one = *opts;
	struct fsmoe_layer_cost *cost;
	struct fsmoe_step_graph step;
	fsmoe_groups_t first;
	int err = fsmoe_groups_of_rank(&first, groups, 0);

	if (err)
		return err;
	row.forward_degree = row.backward_degree = FSMOE_DEGREE_ONE;
	one.schedule = &row;
	one.plan = NULL;
	err = fsmoe_step_create(&step, first, forward, &one);
	if (err)
	{
		fsmoe_groups_destroy(first);
		return err;
	}
	problem->layers = count_layers(step.graph);
	cost = calloc((size_t)problem->layers + 1, sizeof(*cost));
	problem->layer = cost;
	err = cost ? read_allreduce(problem, groups, profile)
		   : fsmoe_fail(ENOMEM, "no memory to plan %d layers", problem->layers);
	if (!err)
		err = fsmoe_layer_cost_read(cost, problem->layers, step.graph, profile);
	fsmoe_step_destroy(&step);
	fsmoe_groups_destroy(first);
	return err;
}

int fsmoe_train_plan(struct fsmoe_plan *plan, fsmoe_groups_t groups, struct fsmoe_forward forward,
		     const struct fsmoe_train_opts *opts, const struct fsmoe_schedule *schedule,
		     fsmoe_profile_t profile, int max_degree)
{
	struct fsmoe_plan_problem problem = {.max_degree = max_degree};
	int err = fsmoe_step_problem(&problem, groups, forward, opts, profile);

	if (!err)
		err = fsmoe_plan_create(plan, &problem, schedule);
	free((void *)problem.layer);
	return err;
}

int fsmoe_train_predict(struct fsmoe_plan *plan, fsmoe_groups_t groups,
			struct fsmoe_forward forward, const struct fsmoe_train_opts *opts,
			const struct fsmoe_schedule *schedule, fsmoe_profile_t profile)
{
	struct fsmoe_plan_problem problem = {.max_degree = 1};
	int err = fsmoe_step_problem(&problem, groups, forward, opts, profile);

	if (!err)
		err = fsmoe_plan_predict(plan, &problem, schedule);
	free((void *)problem.layer);
	return err;
}
