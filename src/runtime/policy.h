/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_POLICY_H
#define FSMOE_POLICY_H

/* An idle hook (starpu_idle_hook_register) for the policy's CPU workers: sleeps until a task
 * that this worker may start is there, or a few milliseconds. StarPU's own workers spin. arg: a
 * const int *, not 0: first look for as long as waking up takes a few times; NULL is 0. */
unsigned fsmoe_policy_idle(void *arg);

#endif
