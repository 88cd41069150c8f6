/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime can be stopped and started again in one process, on any number of ranks; a second one
 * at the same time is refused, and so is a scheduling policy that does not exist. */
#include <errno.h>
#include <fsmoe.h>
#include <stdio.h>
#include <string.h>

#define MUST(condition)                                                                            \
	do                                                                                         \
	{                                                                                          \
		if (!(condition))                                                                  \
		{                                                                                  \
			fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition,                \
				fsmoe_last_error());                                               \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

int main(void)
{
	struct fsmoe_runtime_opts opts;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt, second;

	MUST(fsmoe_topo_create(&topo, NULL, 0) == 0);
	MUST(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}) == 0);
	for (int i = 0; i < 3; i++)
	{
		MUST(fsmoe_runtime_start(&rt, groups, NULL) == 0);
		MUST(fsmoe_runtime_start(&second, groups, NULL) == -EBUSY);
		fsmoe_runtime_stop(rt);
	}
	fsmoe_runtime_opts_init(&opts);
	opts.starpu_sched = "fastest";
	MUST(fsmoe_runtime_start(&rt, groups, &opts) == -EINVAL);
	MUST(strstr(fsmoe_last_error(), "fastest") && strstr(fsmoe_last_error(), "lws"));
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return 0;
}
