/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_STARPU_H
#define FSMOE_STARPU_H

#include <fsmoe/graph.h>
#include <starpu.h>
#include <starpu_scheduler.h>

/*
 * For StarPU programs that want the scheduling policy alone:
 *
 *	struct starpu_conf conf;
 *	starpu_conf_init(&conf);
 *	conf.sched_policy = fsmoe_starpu_policy();
 *	starpu_init(&conf);
 *	...
 *	starpu_task_insert(&codelet, STARPU_RW, handle, STARPU_TASK_SCHED_DATA, &info, 0);
 *
 * What the policy does. Every task belongs to a lane: compute, communication inside a node, or
 * communication between nodes. The lanes have workers of their own where there are enough: of
 * CPU workers the last two serve the communication lanes (with two, one serves both; with one,
 * it serves all, inter-node first); of the workers of a CUDA device the first computes, the
 * second and third communicate; communication that they can run is not left to CPU workers then.
 * On a communication lane tasks with a number run one at a time,
 * in the order of their numbers and never otherwise, whatever the order in which they become
 * ready: give every rank the same numbers and collectives cannot deadlock. On the compute lane
 * the greatest urgency goes first among the ready, then the order of submission.
 *
 * How to cut a program's gradients so that they travel while its tasks compute:
 * fsmoe_gradient_cut (fsmoe/plan.h), from lengths that starpu_task_expected_length tells.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* Behind STARPU_TASK_SCHED_DATA (task->sched_data); must live until the task has ended. A
 * task without it computes, its StarPU priority being its urgency. */
struct fsmoe_task_info
{
	enum fsmoe_lane lane;
	int64_t seq; /* per lane 0, 1, 2, ... for the whole run, none left out; -1: no fixed
				place */
	int urgency;
	/* Where to note when the task became ready: seconds of CLOCK_MONOTONIC; NULL: nowhere. */
	double *ready;
	/* 1: the task is ready, but must not be chosen yet. Asked again and again, under the
	 * policy's lock, by a worker that could run it; NULL: never. */
	int (*held)(const struct fsmoe_task_info *info);
};

/* The policy "fsmoe": static, for conf.sched_policy. */
struct starpu_sched_policy *fsmoe_starpu_policy(void);

#ifdef __cplusplus
}
#endif
#endif
