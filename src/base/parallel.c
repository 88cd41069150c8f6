/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>

enum
{
	THREADS = 64
};

struct part
{
	void (*run)(void *arg, size_t lo, size_t hi);
	void *arg;
	size_t lo, hi;
	pthread_t thread;
	int started;
};

static void *run_part(void *arg)
{
	const struct part *p = arg;

	p->run(p->arg, p->lo, p->hi);
	return NULL;
}

static size_t cores(void)
{
	cpu_set_t mine;

	if (sched_getaffinity(0, sizeof(mine), &mine))
		return 1;
	return CPU_COUNT(&mine) < THREADS ? (size_t)CPU_COUNT(&mine) : THREADS;
}

void fsmoe_parallel(size_t n, size_t least, void (*run)(void *arg, size_t lo, size_t hi), void *arg)
{
	size_t parts = cores();
	struct part part[THREADS];

	if (least > 0 && parts > n / least)
		parts = n / least;
	if (parts < 2)
	{
		run(arg, 0, n);
		return;
	}
	for (size_t i = 0; i < parts; i++)
	{
		part[i] = (struct part){run, arg, n / parts * i, n / parts * (i + 1)};
		if (i + 1 == parts)
			part[i].hi = n;
		part[i].started =
			i > 0 && !pthread_create(&part[i].thread, NULL, run_part, &part[i]);
	}
	/* This thread does the first part, and those that got no thread. */
	for (size_t i = 0; i < parts; i++)
		if (!part[i].started)
			run_part(&part[i]);
	for (size_t i = 1; i < parts; i++)
		if (part[i].started)
			pthread_join(part[i].thread, NULL);
}
