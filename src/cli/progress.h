/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_PROGRESS_H
#define FSMOE_CLI_PROGRESS_H

/*
 * A progress bar under the lines of a run, on stderr:
 *
 *	[########............................]  22%  1:54 left
 *
 * It is drawn after each step and removed before a line is printed.
 */
struct progress
{
	int shown, visible;
	int first, steps; /* the step at which this run began, and its last */
	double start, drawn;
};

/* Begins a bar. If it `may` be shown, it is shown on a terminal without a launcher, or if `asked`
 * for. */
void progress_begin(struct progress *bar, int may, int asked, int step, int steps);
void progress_show(struct progress *bar, int step);
void progress_clear(struct progress *bar);

#endif
