/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_STARPU_H
#define FSMOE_STARPU_H

#include <fsmoe/graph.h>
#include <starpu.h>
#include <starpu_scheduler.h>

/*
 * The scheduling policy, for StarPU programs that use nothing else of fsmoe:
 *
 *	struct starpu_conf conf;
 *	starpu_conf_init(&conf);
 *	conf.sched_policy = fsmoe_starpu_policy();
 *	starpu_init(&conf);
 *	...
 *	starpu_task_insert(&codelet, STARPU_RW, handle, STARPU_TASK_SCHED_DATA, &info, 0);
 *
 * Every task belongs to a lane: computation, communication inside a node, or communication
 * between nodes. Each lane has workers of its own if there are enough:
 *   - The last two CPU workers serve the communication lanes. With two CPU workers one serves both
 *     lanes; a single CPU worker serves all three, inter-node communication first.
 *   - The first worker of a CUDA device computes, the second and the third communicate. CPU workers
 *     then run only the communication that these cannot.
 * Numbered tasks of a communication lane run one at a time in the order of their numbers, whatever
 * the order in which they become ready. If every rank uses the same numbers, collectives cannot
 * deadlock. On the compute lane the most urgent ready task runs first; equally urgent tasks run in
 * the order of submission.
 *
 * fsmoe_gradient_cut (fsmoe/plan.h) cuts a program's gradients so that their communication overlaps
 * with its tasks; the lengths it takes can come from starpu_task_expected_length.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* The value of STARPU_TASK_SCHED_DATA (task->sched_data). It must live until the task has ended. A
 * task without it belongs to the compute lane, and its StarPU priority is its urgency. */
struct fsmoe_task_info
{
	enum fsmoe_lane lane;
	/* Number on its lane: 0, 1, 2, ... over the whole run without omissions; -1: none. */
	int64_t seq;
	int urgency; /* greater runs first */
	/* Gets the time at which the task became ready, in seconds of CLOCK_MONOTONIC; may be
	 * NULL. */
	double *ready;
	/* Returns 1 while the ready task must not be chosen. Workers that could run the task call
	 * it repeatedly, under the policy's lock. NULL: the task is never held. */
	int (*held)(const struct fsmoe_task_info *info);
};

/* Returns the policy "fsmoe" for conf.sched_policy. It is static: the caller does not free it. */
struct starpu_sched_policy *fsmoe_starpu_policy(void);

#ifdef __cplusplus
}
#endif
#endif
