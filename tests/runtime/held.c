/* SPDX-License-Identifier: Apache-2.0 */
/* The policy "fsmoe" passes over a task that is held (struct fsmoe_task_info), however urgent, and
 * runs it once it is not held any more. */
#include <fsmoe/starpu.h>
#include <stdio.h>

enum
{
	N = 8
};

static volatile int asked, released;
static int order[N], done;

static int until_all_others(const struct fsmoe_task_info *info)
{
	(void)info;
	asked++;
	return !released;
}

static void note(void *buffers[], void *arg)
{
	(void)buffers;
	starpu_codelet_unpack_args(arg, &order[done]);
	released = ++done == N - 1;
}

static struct starpu_codelet codelet = {.cpu_funcs = {note}, .nbuffers = 0, .name = "note"};

int main(void)
{
	static struct fsmoe_task_info info[N];
	struct starpu_conf conf;
	int wrong = 0;

	starpu_conf_init(&conf);
	conf.sched_policy = fsmoe_starpu_policy();
	conf.ncpus = 1;
	conf.ncuda = conf.nopencl = 0;
	conf.precedence_over_environment_variables = 1;
	if (starpu_init(&conf))
		return 77;
	for (int i = 0; i < N; i++)
	{
		info[i] = (struct fsmoe_task_info){.lane = FSMOE_COMPUTE, .seq = -1};
		if (i == 0)
		{
			info[i].urgency = 1;
			info[i].held = until_all_others;
		}
		starpu_task_insert(&codelet, STARPU_VALUE, &i, sizeof(i), STARPU_TASK_SCHED_DATA,
				   &info[i], 0);
	}
	starpu_task_wait_for_all();
	starpu_shutdown();
	for (int k = 0; k < N; k++)
		wrong += order[k] != (k + 1) % N;
	printf("%d tasks, %d out of order, asked %d times\n", done, wrong, asked);
	return done == N && wrong == 0 && asked > 0 ? 0 : 1;
}
