/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/starpu.h>
#include <stddef.h>
#include <string.h>

/*
 * The policy as a library of its own, which StarPU 1.4 loads into any program:
 * STARPU_SCHED_LIB=.../libfsmoe-sched.so STARPU_SCHED=fsmoe. StarPU asks for these two by name.
 */

struct starpu_sched_policy *starpu_get_sched_lib_policy(const char *name)
{
	return strcmp(name, fsmoe_starpu_policy()->policy_name) ? NULL : fsmoe_starpu_policy();
}

/* For STARPU_SCHED=help. */
struct starpu_sched_policy **starpu_get_sched_lib_policies(void)
{
	static struct starpu_sched_policy *policies[2];

	policies[0] = fsmoe_starpu_policy();
	return policies;
}
