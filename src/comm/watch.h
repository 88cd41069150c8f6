/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_WATCH_H
#define FSMOE_WATCH_H

#include <fsmoe/schedule.h>
#include <fsmoe/topo.h>
#include <stddef.h>

/*
 * The watchdog: sees to it that no rank waits for ever. It is told what happens (cheap: a few
 * atomic stores and a short label). When nothing happens for `timeout` seconds anywhere in this
 * process, it asks all ranks where they are, prints for every rank the last task done and the
 * collective waited for (and which ranks did not answer), and ends the job with FSMOE_EXIT_PEER.
 *
 * Two threads, both asleep nearly all the time. The timer never calls MPI, so it also ends a
 * process that hangs in MPI_Finalize or whose MPI no longer answers; the listener, in an MPI job,
 * answers the other ranks and asks them.
 *
 * A rank that is killed is noticed by mpirun, which sends SIGTERM to the others: see
 * fsmoe_watch_catch_term.
 */
struct fsmoe_watch;

/* Starts the threads; local; right after fsmoe_topo_create(), one watchdog per topology
 * (one that was retired makes room). timeout 0: never ends the job by itself, but answers other
 * ranks. */
int fsmoe_watch_start(struct fsmoe_watch **watch, fsmoe_topo_t topo, double timeout);

/* Ends the threads; local; NULL is legal. Before or after fsmoe_topo_destroy(): after it, the
 * waiting at the end of the job was watched too. */
void fsmoe_watch_stop(struct fsmoe_watch *watch);

/* Instead of stop, for a part of a program that ends before the topology does: rests until
 * fsmoe_topo_destroy(), watches that, and frees itself in it. NULL is legal. */
void fsmoe_watch_retire(struct fsmoe_watch *watch);

/* Installs a handler for SIGTERM that prints where this rank was and ends the process at once, with
 * FSMOE_EXIT_PEER or, where it is the only rank, FSMOE_EXIT_RUN; stop restores the former handler.
 * One watchdog of a process can have it. */
int fsmoe_watch_catch_term(struct fsmoe_watch *watch);

/* What that handler does, for programs with a handler of their own; async-signal-safe. NULL only
 * ends the process. */
void fsmoe_watch_terminate(struct fsmoe_watch *watch) __attribute__((noreturn));

/* What carries the collectives may fail by itself, a network say, and no call ever return: from now
 * on `find` (NULL: nobody) is asked now and then, by the watchdog's threads, one at a time. Once it
 * returns 1 and a sentence while this rank is in a collective, the job is ended as if the time were
 * up, and told why. Returns when no former one is being asked. watch may be NULL. */
typedef int (*fsmoe_fault_fn)(void *arg, char *sentence, size_t size);
void fsmoe_watch_faults(struct fsmoe_watch *watch, fsmoe_fault_fn find, void *arg);

/* All accept watch == NULL. Labels are copied (the first 63 characters). */
void fsmoe_watch_phase(struct fsmoe_watch *watch,
		       const char *phase); /* "start", "step 12", "evaluation", "end" */
void fsmoe_watch_enter(struct fsmoe_watch *watch, enum fsmoe_group group, const char *collective);
void fsmoe_watch_leave(struct fsmoe_watch *watch, enum fsmoe_group group);
/* Begins, on this thread: collectives it enters until done are that task's. */
void fsmoe_watch_task(struct fsmoe_watch *watch, enum fsmoe_lane lane, const char *label, int seq);
void fsmoe_watch_done(struct fsmoe_watch *watch, enum fsmoe_lane lane); /* that task ended */

#endif
