/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 04: the scheduling policy alone, under a plain StarPU program. Numbered tasks are submitted in
 * reverse; on their lane they run in the order of their numbers all the same, beside computation
 * in the order of its urgency.
 *
 * Then gradients: layers are computed from the last to the first, each leaves some, and they are
 * cut so that they travel while the next layers compute, by what StarPU's performance models
 * expect.
 *
 * New here: fsmoe/starpu.h, fsmoe_gradient_cut. Under StarPU 1.4 a program need not name the
 * policy: STARPU_SCHED_LIB=.../libfsmoe-sched.so STARPU_SCHED=fsmoe gives it to any.
 */
#include <fsmoe/plan.h>
#include <fsmoe/starpu.h>
#include <stdio.h>
#include <stdlib.h>

enum
{
	N = 100,
	ALL = N + 5
};

static int order[ALL], done;

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

static double expected(struct starpu_task *task, struct starpu_perfmodel_arch *arch, unsigned n)
{
	(void)task, (void)arch, (void)n;
	return 100; /* microseconds, as long as compute() */
}

static struct starpu_perfmodel model = {
	.type = STARPU_PER_ARCH, .arch_cost_function = expected, .symbol = "work"};
static struct starpu_codelet collective = {.cpu_funcs = {communicate}, .name = "collective"};
static struct starpu_codelet work = {.cpu_funcs = {compute}, .name = "work", .model = &model};

/* Backward through LAYERS layers of 10 tasks, each of which leaves 3 MB of gradients. A layer's go
 * out while the next ones compute, at 20 us + 1 us / KB; returns the bytes that were left. */
static uint64_t exchange_gradients(int64_t seq)
{
	enum
	{
		LAYERS = 4,
		TASKS = 10
	};
	static struct fsmoe_task_info piece[LAYERS + 1];
	static int number[LAYERS + 1];
	struct fsmoe_gradient_window window[LAYERS] = {{0, 0}};
	uint64_t bytes[LAYERS + 1];
	double exposed;
	struct starpu_task task;

	starpu_task_init(&task);
	task.cl = &work;
	for (int i = 0; i < LAYERS; i++)
	{
		window[i].seconds = 1e-6 * TASKS *
				    starpu_task_expected_length(
					    &task, starpu_worker_get_perf_archtype(0, 0), 0);
		window[i].arrives = i > 0 ? 3000000 : 0; /* the layer before has left them */
	}
	starpu_task_clean(&task);
	if (fsmoe_gradient_cut(window, LAYERS, 20e-6, 1e-9, 4, bytes, &exposed))
		return 0;
	for (int i = 0; i <= LAYERS; i++)
	{
		/* Behind the collectives of before, in the same order on every rank. */
		piece[i] = (struct fsmoe_task_info){.lane = FSMOE_INTER, .seq = seq + i};
		number[i] = (int)(seq + i);
		starpu_task_insert(&collective, STARPU_CL_ARGS_NFREE, &number[i], sizeof(number[i]),
				   STARPU_TASK_SCHED_DATA, &piece[i], 0);
		for (int k = 0; k < TASKS && i < LAYERS; k++)
			starpu_task_insert(&work, 0);
		printf("window %d: %.2f MB\n", i, 1e-6 * (double)bytes[i]);
	}
	printf("%.2f ms of the exchange are not hidden\n", 1e3 * exposed);
	return bytes[LAYERS];
}

int main(void)
{
	static struct fsmoe_task_info numbered[N], urgent[N];
	static int number[N];
	struct starpu_conf conf;
	uint64_t left;
	int wrong = 0;

	starpu_conf_init(&conf);
	if (!getenv("STARPU_SCHED_LIB"))
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
	left = exchange_gradients(N);
	starpu_task_wait_for_all();
	starpu_shutdown();
	for (int i = 0; i < ALL; i++)
		wrong += order[i] != i;
	printf("%d collectives, %d out of order\n", done, wrong);
	/* 9 MB, of which 0.98 fit into each of three windows. */
	return done == ALL && wrong == 0 && left >= 6060000 && left < 6060100 ? 0 : 1;
}
