/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "comm/nccl.h"
#include "gpu/gpu_internal.h"
#include "gpu/symmetric.h"
#include "graph/memory.h"
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

/* The window in which symmetric.c lays out a program's buffers. */

static const char *window_refused(fsmoe_comms_t comms, enum fsmoe_group group)
{
	return fsmoe_nccl_windows ? fsmoe_nccl_windows->refused(comms, group)
				  : "this fsmoe was built without NCCL 2.28 or later";
}

static unsigned groups_with(fsmoe_comms_t comms)
{
	unsigned groups = 0;

	for (int kind = 0; kind < FSMOE_NGROUPS; kind++)
		if (!window_refused(comms, (enum fsmoe_group)kind))
			groups |= 1u << kind;
	return groups;
}

/* Tensors of a program on the same memory have their places. */
static int lay_out(struct fsmoe_symmetric *s, struct fsmoe_program *p)
{
	char *elsewhere = calloc((size_t)p->ntensors + 1, 1);
	int err;

	if (!elsewhere)
		return fsmoe_fail(ENOMEM, "no memory for the places of %d tensors", p->ntensors);
	for (int t = 0; t < p->ntensors; t++)
		elsewhere[t] = p->tensors[t].base == t &&
			       fsmoe_handle_known(p->runtime, fsmoe_memory_data(p->memory, t));
	err = fsmoe_symmetric_lay_out(s, p->graph, p->runtime->real, groups_with(p->runtime->comms),
				      elsewhere);
	free(elsewhere);
	return err;
}

/* Once. */
static void tell_refused(fsmoe_runtime_t rt, unsigned refused)
{
	const int first = fsmoe_comms_get(rt->comms, FSMOE_GROUP_WORLD)->rank == 0;

	for (int kind = 0; kind < FSMOE_NGROUPS; kind++)
		if (first && refused & ~rt->gpu->no_windows & 1u << kind)
			fsmoe_log(FSMOE_LOG_WARNING,
				  "the CTA policy 'zero' does nothing for group %s: %s",
				  fsmoe_group_name((enum fsmoe_group)kind),
				  window_refused(rt->comms, (enum fsmoe_group)kind));
	rt->gpu->no_windows |= refused;
}

struct claim
{
	uint64_t hash, bytes, failed;
};

/* 0 and *same; or a failure, on every rank if on one. */
static int agree(struct fsmoe_comm *world, const struct claim *mine, int *same)
{
	struct claim all[world->size];
	int err = fsmoe_comm_allgather(world, mine, all, sizeof(*mine));

	*same = 1;
	for (int r = 0; r < world->size && !err; r++)
	{
		if (all[r].failed && !mine->failed)
			err = fsmoe_fail(ENOMEM,
					 "rank %d has no memory for the windows of its "
					 "collectives",
					 r);
		*same &= all[r].hash == all[0].hash && all[r].bytes == all[0].bytes;
	}
	return err;
}

/* Makes and registers the window of a layout that is the same on every rank, if any. */
static int make_window(struct fsmoe_program *p, const struct fsmoe_symmetric *s, int err,
		       struct fsmoe_nccl_window **window)
{
	fsmoe_runtime_t rt = p->runtime;
	struct fsmoe_comm *world = fsmoe_comms_get(rt->comms, FSMOE_GROUP_WORLD);
	struct claim mine;
	int met, same = 0;

	if (!err && s->bytes)
		err = fsmoe_gpu_fits(rt->gpu, s->bytes);
	if (!err && s->bytes)
		err = fsmoe_nccl_windows->create(window, s->bytes);
	mine = (struct claim){s->hash, s->bytes, err != 0};
	met = agree(world, &mine, &same);
	if (err || met)
		return err ? err : met;
	tell_refused(rt, s->refused);
	if (!same && world->rank == 0)
		fsmoe_log(FSMOE_LOG_WARNING,
			  "the CTA policy 'zero' does nothing for a program of %d nodes: the "
			  "ranks' buffers are not of the same sizes",
			  p->nnodes);
	if (same && *window)
		return fsmoe_nccl_windows->enroll(*window, rt->comms, s->groups);
	fsmoe_gpu_release_window(*window);
	*window = NULL;
	return 0;
}

int fsmoe_gpu_find_homes(struct fsmoe_program *p, struct fsmoe_home *homes,
			 struct fsmoe_nccl_window **window)
{
	struct fsmoe_symmetric s = {0};
	int err;

	if (!p->runtime->gpu->windows)
		return 0;
	if (p->runtime->starpu.runs)
		starpu_task_wait_for_all();
	err = lay_out(&s, p);
	err = make_window(p, &s, err, window);
	for (int t = 0; t < p->ntensors && *window && !err; t++)
		if (s.at[t] != FSMOE_ELSEWHERE)
			homes[t] = (struct fsmoe_home){fsmoe_nccl_windows->data(*window) + s.at[t],
						       *window};
	fsmoe_symmetric_free(&s);
	return err;
}

void fsmoe_gpu_keep_window(struct fsmoe_nccl_window *window)
{
	fsmoe_nccl_windows->keep(window);
}

void fsmoe_gpu_release_window(struct fsmoe_nccl_window *window)
{
	if (window)
		fsmoe_nccl_windows->release(window);
}
