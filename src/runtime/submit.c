/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "runtime/gpu_ops.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

/* Buffers in the task itself, or in arrays of its own where there are more than it has room
 * for; StarPU frees those. */
static int set_buffers(struct starpu_task *task, const struct fsmoe_task_template *template)
{
	size_t n = (size_t) template->nbuffers;
	starpu_data_handle_t *handles = task->handles;
	enum starpu_data_access_mode *modes = task->modes;

	task->nbuffers = template->nbuffers;
	if (template->nbuffers > STARPU_NMAXBUFS)
	{
		handles = task->dyn_handles = malloc(n * sizeof(*handles));
		modes = task->dyn_modes = malloc(n * sizeof(*modes));
		if (!handles || !modes)
			return fsmoe_fail(ENOMEM, "no memory for a task of %d buffers",
					  template->nbuffers);
	}
	memcpy(handles, template->handles, n * sizeof(*handles));
	memcpy(modes, template->modes, n * sizeof(*modes));
	return 0;
}

/* StarPU's own policies know nothing of lanes: give each lane its worker, and collectives their
 * place in its order, by StarPU's means. Numbers there start at 1. */
static void place(struct fsmoe_runtime *rt, struct starpu_task *task, enum fsmoe_lane lane)
{
	const enum fsmoe_worker type = task->cl->where == STARPU_CUDA ? FSMOE_ON_GPU : FSMOE_ON_CPU;

	task->execute_on_a_specific_worker = 1;
	task->workerid = (unsigned)rt->starpu.lane_worker[type][lane];
	if (lane != FSMOE_COMPUTE)
		task->workerorder = ++rt->starpu.order[type][lane];
}

int fsmoe_submit_task(struct fsmoe_program *p, const struct fsmoe_task_template *template,
		      const struct fsmoe_step *step)
{
	const struct fsmoe_node *n = &p->nodes[template->node[0]];
	struct starpu_task *task = starpu_task_create();
	struct fsmoe_task_args *args = malloc(sizeof(*args));
	int err;

	if (!task || !args)
	{
		free(args);
		return fsmoe_fail(ENOMEM, "no memory for a task");
	}
	*args = (struct fsmoe_task_args){
		.info = {.lane = n->lane,
			 .seq = n->seq < 0 ? -1 : p->runtime->next_seq[n->lane] + n->seq,
			 .urgency = n->priority,
			 .ready =
				 p->runtime->recording ? &p->times.ready[template->node[0]] : NULL},
		.program = p,
		.template = template,
		.early = p->early && template->early && !p->runtime->recording,
		.step = *step,
	};
	task->cl = args->early ? template->early : template->codelet;
	task->name = template->label;
	if (args->early && template->held)
		args->info.held = fsmoe_gpu->held;
	task->cl_arg = args;
	task->cl_arg_size = sizeof(*args);
	task->cl_arg_free = 1;
	task->sched_data = &args->info;
	task->priority = n->priority;
	if (task->cl->where == STARPU_CUDA)
	{
		task->callback_func = fsmoe_gpu->done;
		task->callback_arg = args;
	}
	err = set_buffers(task, template);
	if (!err && !p->runtime->starpu.own_policy)
		place(p->runtime, task, n->lane);
	if (p->runtime->recording) /* before: afterwards it may have ended */
		p->times.submitted[template->node[0]] = fsmoe_clock();
	if (!err && starpu_task_submit(task))
		err = fsmoe_fail(ENODEV, "StarPU has no worker for '%s'", template->label);
	if (err)
	{
		task->destroy = 0;
		starpu_task_destroy(task);
	}
	return err;
}
