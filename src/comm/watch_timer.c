/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/watch_state.h"

#include <fsmoe/error.h>

#include <unistd.h>

/*
 * The timer: counts the time in which nothing happened. It calls no MPI function, so nothing that
 * blocks there can block it.
 */

/* Until the listener has asked, printed and ended the job, on this rank or on another one. */
#define GRACE 6.0

/* The listener did not manage, or there is none. */
static void end_process(struct fsmoe_watch *watch)
{
	char text[2 * WATCH_LINE];
	int n = 0;

	if (!atomic_exchange(&watch->printed, 1))
	{
		n = fsmoe_watch_line(watch, text);
		n += fsmoe_watch_verdict(watch, text + n);
	}
	fsmoe_watch_write(text, (size_t)n);
	_exit(FSMOE_EXIT_PEER);
}

/* Returns when something happened after all, or the watchdog is being stopped. */
static void expire(struct fsmoe_watch *watch, unsigned seen)
{
	double step = 0.1;

	atomic_store(&watch->expired, 1);
	for (double waited = 0; waited < GRACE && watch->has_listener; waited += step)
	{
		if (fsmoe_watch_sleep(watch, &watch->stop_timer, step))
			return;
		if (atomic_load(&watch->events) != seen && !atomic_load(&watch->printed) &&
		    !atomic_load(&watch->failed))
		{
			atomic_store(&watch->expired, 0);
			return;
		}
	}
	end_process(watch);
}

/* Where nobody waits for a collective a fault may be another rank's, which ended before. */
static int has_failed(struct fsmoe_watch *watch)
{
	char fault[WATCH_LINE];
	int waits = 0;

	for (int kind = 0; kind < FSMOE_NGROUPS; kind++)
		waits |= atomic_load(&watch->group[kind].entered) != 0;
	if (waits && fsmoe_watch_find_fault(watch, fault, sizeof(fault)))
		atomic_store(&watch->failed, 1);
	return atomic_load(&watch->failed);
}

void *fsmoe_watch_timer(void *arg)
{
	struct fsmoe_watch *watch = arg;
	double slice = watch->timeout / 10 < 0.5 ? watch->timeout / 10 : 0.5;
	unsigned seen = atomic_load(&watch->events);
	int64_t before = fsmoe_watch_now();
	double idle = 0;

	while (!fsmoe_watch_sleep(watch, &watch->stop_timer, slice))
	{
		int64_t now = fsmoe_watch_now();
		double passed = (double)(now - before) * 1e-9;
		unsigned events = atomic_load(&watch->events);

		before = now;
		/* A job that was stopped by hand and goes on has not been idle meanwhile. */
		idle += passed < 4 * slice ? passed : slice;
		if (events != seen || atomic_load(&watch->resting))
			idle = 0;
		seen = events;
		if (idle >= watch->timeout || has_failed(watch))
		{
			expire(watch, seen);
			idle = 0;
			before = fsmoe_watch_now();
		}
	}
	return NULL;
}
