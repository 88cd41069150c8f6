/* SPDX-License-Identifier: Apache-2.0 */
#include "cost/profile.h"
#include "runtime/runtime_internal.h"
#include "runtime/units.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

/*
 * What a task takes, told to StarPU: one performance model a codelet, all of them this function
 * over the runtime's profile. The planner asks the same profile, so both have the same bits
 * (runtime/units.h apart). Not a number where the profile has no line: StarPU's word for unknown.
 */
static double expected_us(struct starpu_task *task, struct starpu_perfmodel_arch *arch,
			  unsigned implementation)
{
	const struct fsmoe_task_args *job = task->cl_arg;
	const struct fsmoe_program *p = job->program;
	const fsmoe_profile_t profile = p->runtime->profile;
	double all = 0;

	(void)arch, (void)implementation;
	for (int i = 0; i < job->template->nnodes; i++)
	{
		const struct fsmoe_node *node = &p->nodes[job->template->node[i]];
		double seconds = 0;

		if (p->work[node->id] <= 0)
			continue;
		if (!profile || fsmoe_profile_predict(profile, fsmoe_node_cost_kind(node),
						      node->span, p->work[node->id], &seconds))
			return NAN;
		all += seconds;
	}
	return fsmoe_starpu_us(all);
}

void fsmoe_codelet_set_model(fsmoe_runtime_t rt, struct fsmoe_codelet *c)
{
	c->model.type = STARPU_PER_ARCH;
	c->model.arch_cost_function = expected_us;
	c->model.symbol = c->op->name;
	c->codelet.model = c->early.model = rt->profile ? &c->model : NULL;
}

int fsmoe_runtime_set_profile(fsmoe_runtime_t rt, fsmoe_profile_t profile)
{
	fsmoe_profile_t copy = NULL;
	int err = profile ? fsmoe_profile_create(&copy) : 0;

	if (err)
		return err;
	if (profile)
		*copy = *profile;
	if (rt->starpu.runs)
		starpu_task_wait_for_all();
	fsmoe_profile_destroy(rt->profile);
	rt->profile = copy;
	for (struct fsmoe_codelet *c = rt->codelets; c; c = c->next)
		fsmoe_codelet_set_model(rt, c);
	return 0;
}
