/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_PROGRESS_H
#define FSMOE_CLI_PROGRESS_H

/*
 * A bar under the lines of a run, on stderr:
 *
 *	[########............................]  22%  1:54 left
 *
 * It is drawn after a step, and taken away before a line is printed.
 */
struct progress
{
	int shown, visible;
	int first, steps; /* where this run began, where it ends */
	double start, drawn;
};

/* `may` be shown; it is on a terminal where no launcher stands between, and where `asked` for. */
void progress_begin(struct progress *bar, int may, int asked, int step, int steps);
void progress_show(struct progress *bar, int step);
void progress_clear(struct progress *bar);

#endif
