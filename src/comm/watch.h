/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_WATCH_H
#define FSMOE_WATCH_H

#include <fsmoe/graph.h>

/*
 * The watchdog: a thread that sees to it that no rank waits for ever. It is told what happens
 * (cheap: an atomic store and a short label). When nothing happens for `timeout` seconds
 * anywhere in this process, it asks all ranks where they are, prints for every rank the last
 * task done and the collective waited for (and which ranks did not answer), and ends the job
 * with FSMOE_EXIT_PEER.
 */
struct fsmoe_watch;

/* Starts the thread; local. timeout 0: reports on SIGTERM only. Must be called after MPI_Init
 * where there is MPI; rank and size are of the whole job. */
int fsmoe_watch_start(struct fsmoe_watch **watch, fsmoe_topo_t topo, double timeout);
void fsmoe_watch_stop(struct fsmoe_watch *watch); /* NULL is legal */

/* All accept watch == NULL. Labels are copied. */
void fsmoe_watch_phase(struct fsmoe_watch *watch,
		       const char *phase); /* "start", "step 12", "end" */
void fsmoe_watch_enter(struct fsmoe_watch *watch, enum fsmoe_group group, const char *collective);
void fsmoe_watch_leave(struct fsmoe_watch *watch, enum fsmoe_group group);
void fsmoe_watch_task(struct fsmoe_watch *watch, enum fsmoe_lane lane, const char *label,
		      int seq);                                         /* begins */
void fsmoe_watch_done(struct fsmoe_watch *watch, enum fsmoe_lane lane); /* that task ended */

#endif
