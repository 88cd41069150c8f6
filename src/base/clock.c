/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

double fsmoe_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void fsmoe_clock_sleep(double seconds)
{
	static _Thread_local int sharp;
	struct timespec left = {.tv_sec = (time_t)seconds};

	if (!sharp)
	{
		/* Linux stretches sleeps by 50 us unless told otherwise. */
		prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
		sharp = 1;
	}
	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	while (nanosleep(&left, &left) && errno == EINTR)
		;
}
