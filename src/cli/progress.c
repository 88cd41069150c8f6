/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include "base/clock.h"
#include "cli/cli.h"

#include <stdio.h>
#include <unistd.h>

enum
{
	WIDTH = 36
};

/* A step may take a millisecond: redraws only as often as an eye can follow. */
static const double redraw_seconds = 0.1;

void progress_begin(struct progress *bar, int may, int asked, int step, int steps)
{
	/* Open MPI gives ranks a terminal even if its own output is a file. */
	const int alone = cli_launch_ranks() == 1 && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);

	*bar = (struct progress){.shown = may && (asked || alone),
				 .first = step,
				 .steps = steps,
				 .start = fsmoe_clock()};
}

void progress_show(struct progress *bar, int step)
{
	const double now = fsmoe_clock(), spent = now - bar->start;
	const int done = step - bar->first, left = bar->steps - step;
	const long seconds = done > 0 ? (long)(spent / done * left + 0.5) : 0;
	const int filled = bar->steps > 0 ? (int)((long)WIDTH * step / bar->steps) : 0;

	if (!bar->shown)
		return;
	if (now - bar->drawn < redraw_seconds && left > 0 && bar->visible)
		return;
	bar->drawn = now;
	bar->visible = 1;
	fprintf(stderr, "[%.*s%.*s] %3d%%  ", filled, "####################################",
		WIDTH - filled, "....................................",
		(int)(100L * step / bar->steps));
	if (seconds >= 3600)
		fprintf(stderr, "%ld:%02ld:%02ld left\r", seconds / 3600, seconds / 60 % 60,
			seconds % 60);
	else
		fprintf(stderr, "%ld:%02ld left\r", seconds / 60, seconds % 60);
	fflush(stderr);
}

void progress_clear(struct progress *bar)
{
	if (!bar->visible)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	bar->visible = 0;
}
