/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/early_release.h"
#include "gpu/gpu_internal.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>

/* A CUDA worker of StarPU enqueues a task's nodes on the stream of their lane. */

/* Whose end StarPU sees: when its own stream of the lane has come so far. The lane's is another,
 * for its priority. */
static int join(struct fsmoe_gpu *gpu, enum fsmoe_lane lane)
{
	int err = fsmoe_cuda_check(cudaEventRecord(gpu->ended[lane], gpu->lanes.cuda[lane].stream),
				   "recording an event");

	return err ? err
		   : fsmoe_cuda_check(cudaStreamWaitEvent(starpu_cuda_get_local_stream(),
							  gpu->ended[lane], 0),
				      "waiting for an event");
}

static int before(const struct fsmoe_task_args *args, const struct fsmoe_node *node,
		  cudaStream_t stream)
{
	const struct fsmoe_marks *m = args->program->gpu->marks;
	int err = node->id == args->template->node[0] && !args->early
			  ? fsmoe_early_release_wait(args->program, args->template, stream)
			  : 0;

	return err || !m ? err
			 : fsmoe_cuda_check(cudaEventRecord(m->begin[node->id], stream),
					    "recording an event");
}

static int after(const struct fsmoe_task_args *args, const struct fsmoe_node *node,
		 cudaStream_t stream)
{
	const struct fsmoe_marks *m = args->program->gpu->marks;
	int err = m ? fsmoe_cuda_check(cudaEventRecord(m->end[node->id], stream),
				       "recording an event")
		    : 0;

	if (err || node->id != args->template->node[args->template->nnodes - 1])
		return err;
	if (!args->early)
		return join(args->program->runtime->gpu, node->lane);
	err = fsmoe_early_release_done(args->program, args->template, stream);
	return err ? err
		   : fsmoe_cuda_check(
			     cudaEventRecord(args->program->runtime->gpu->ended[node->lane],
					     stream),
			     "recording an event");
}

static int enqueue(const struct fsmoe_task_args *args, const struct fsmoe_call *call)
{
	const struct fsmoe_node *node = call->node;
	const struct fsmoe_cuda *cuda = &args->program->runtime->gpu->lanes.cuda[node->lane];
	struct fsmoe_call here = *call;
	int err;

	here.fresh = &args->program->gpu->fresh.node[node->id];
	if (call->comm && call->comm->size > 1 && !call->comm->nccl)
		return fsmoe_fail(EINVAL,
				  "group %s has no communicator between GPUs: two of its ranks "
				  "have one GPU; give every rank its own",
				  fsmoe_group_name(call->comm->kind));
	err = before(args, node, cuda->stream);
	if (!err)
		err = fsmoe_runtime_kernel(args->program->runtime, node->op)(&here, cuda);
	return err ? err : after(args, node, cuda->stream);
}

static const struct fsmoe_node *first_node(const struct fsmoe_task_args *args)
{
	return &args->program->nodes[args->template->node[0]];
}

void fsmoe_gpu_run(void *buffers[], void *arg)
{
	const struct fsmoe_task_args *args = arg;
	const struct fsmoe_node *node = first_node(args);
	struct fsmoe_watch *watch = args->program->runtime->watch;

	starpu_cuda_get_local_stream(); /* StarPU wants to see it asked for */
	fsmoe_watch_task(watch, node->lane, args->template->label, node->seq);
	if (FSMOE_KIND_IS_COMM(node->op->kind))
		fsmoe_watch_enter(watch, node->op->group(node->args), node->op->name);
	fsmoe_task_run(args, buffers, enqueue);
}

/* `info` is the first member of a task's arguments. */
int fsmoe_gpu_held(const struct fsmoe_task_info *info)
{
	const struct fsmoe_task_args *args = (const struct fsmoe_task_args *)info;
	const int works =
		cudaEventQuery(args->program->runtime->gpu->ended[info->lane]) == cudaErrorNotReady;

	if (works)
		cudaGetLastError(); /* that was no failure */
	return works;
}

void fsmoe_gpu_done(void *arg)
{
	const struct fsmoe_task_args *args = arg;
	const struct fsmoe_node *node = first_node(args);
	struct fsmoe_watch *watch = args->program->runtime->watch;

	if (FSMOE_KIND_IS_COMM(node->op->kind))
		fsmoe_watch_leave(watch, node->op->group(node->args));
	fsmoe_watch_done(watch, node->lane);
}
