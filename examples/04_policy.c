/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 04: the scheduling policy alone, under a plain StarPU program. Numbered tasks are submitted in
 * reverse; on their lane they run in the order of their numbers all the same, beside computation
 * in the order of its urgency.
 *
 * New here: fsmoe/starpu.h.
 */
#include <fsmoe/starpu.h>
#include <stdio.h>

enum
{
	N = 100
};

static int order[N], done;

static void communicate(void *buffers[], void *arg)
{
	(void)buffers;
	order[done++] = *(int *)arg; /* one at a time on its lane */
}

static void compute(void *buffers[], void *arg)
{
	(void)buffers;
	(void)arg;
	starpu_usleep(100);
}

static struct starpu_codelet collective = {.cpu_funcs = {communicate}, .name = "collective"};
static struct starpu_codelet work = {.cpu_funcs = {compute}, .name = "work"};

int main(void)
{
	static struct fsmoe_task_info numbered[N], urgent[N];
	static int number[N];
	struct starpu_conf conf;
	int wrong = 0;

	starpu_conf_init(&conf);
	conf.sched_policy = fsmoe_starpu_policy();
	conf.ncpus = 3;
	conf.ncuda = conf.nopencl = 0;
	conf.precedence_over_environment_variables = 1;
	if (starpu_init(&conf))
		return 77;
	for (int i = N - 1; i >= 0; i--)
	{
		numbered[i] = (struct fsmoe_task_info){.lane = FSMOE_INTER, .seq = i};
		urgent[i] =
			(struct fsmoe_task_info){.lane = FSMOE_COMPUTE, .seq = -1, .urgency = i};
		number[i] = i;
		starpu_task_insert(&collective, STARPU_CL_ARGS_NFREE, &number[i], sizeof(number[i]),
				   STARPU_TASK_SCHED_DATA, &numbered[i], 0);
		starpu_task_insert(&work, STARPU_TASK_SCHED_DATA, &urgent[i], 0);
	}
	starpu_task_wait_for_all();
	starpu_shutdown();
	for (int i = 0; i < N; i++)
		wrong += order[i] != i;
	printf("%d collectives, %d out of order\n", done, wrong);
	return done == N && wrong == 0 ? 0 : 1;
}
