/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_WATCH_STATE_H
#define FSMOE_WATCH_STATE_H

#include "comm/watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

/* Private to src/comm/watch*.c. */

#define WATCH_LINE 768 /* the most characters of one rank's line */

/* A label in atomic words: written without a lock, read at any time, also by a signal handler. A
 * reader may see a mixture while it is being written: harmless, it is for people only. */
#define WATCH_WORDS 8
struct watch_label
{
	_Atomic uint64_t word[WATCH_WORDS];
};

/* Times are monotonic nanoseconds; 0: no. */
struct watch_lane
{
	struct watch_label running, done;
	_Atomic int64_t begun, ended;
};

struct watch_group
{
	struct watch_label collective;
	_Atomic int64_t entered;
	atomic_uint calls;
	atomic_int lane, seq; /* of the task it belongs to; -1: none */
};

struct watch_peers; /* watch-peers.c */

struct fsmoe_watch
{
	fsmoe_topo_t topo; /* NULL once it is destroyed */
	int rank, alone;
	double timeout;

	atomic_uint events; /* anything happened: this changes */
	struct watch_label phase;
	struct watch_lane lane[FSMOE_NLANES];
	struct watch_group group[FSMOE_NGROUPS];

	atomic_int resting;    /* the timer does not run */
	atomic_int expired;    /* nothing happened for `timeout` */
	atomic_int printed;    /* this rank prints, or printed, for all */
	_Atomic int64_t asked; /* when another rank that had timed out asked last */

	atomic_int failed; /* a fault was found */

	pthread_mutex_t fault_lock; /* of the next two */
	fsmoe_fault_fn find_fault;
	void *fault_arg;

	pthread_mutex_t lock; /* of the two flags */
	pthread_cond_t wake;
	int stop_timer, stop_listener;
	atomic_int has_timer, has_listener; /* changed by those who start and stop only */
	pthread_t timer, listener;
	struct watch_peers *peers;

	int catches_term, retired;
	struct sigaction former_term;
};

int64_t fsmoe_watch_now(void);
/* Sleeps; returns 1 at once when *flag (one of the two) is or becomes set. */
int fsmoe_watch_sleep(struct fsmoe_watch *watch, const int *flag, double seconds);

/* 1 and a sentence; 0: there is none. */
int fsmoe_watch_find_fault(struct fsmoe_watch *watch, char *sentence, size_t size);

/* watch-timer.c: the timer's thread. */
void *fsmoe_watch_timer(void *watch);

/* watch-peers.c: the listener's thread, and what it needs; without MPI there is none and *has is
 * 0. */
int fsmoe_watch_peers_create(struct fsmoe_watch *watch);
void fsmoe_watch_peers_destroy(struct fsmoe_watch *watch);
void *fsmoe_watch_listen(void *watch);

/* watch-line.c: "fsmoe: rank 2: ...\n", at most WATCH_LINE characters with the final NUL. Both
 * return the length; the second is async-signal-safe. */
int fsmoe_watch_line(struct fsmoe_watch *watch, char *line);
int fsmoe_watch_term_line(struct fsmoe_watch *watch, char *line);
/* "no progress for 10.0 s: ending the job", or that a fault was found */
int fsmoe_watch_verdict(struct fsmoe_watch *watch, char *line);
int fsmoe_watch_silent_line(int rank, char *line);
/* All of it to stderr. */
void fsmoe_watch_write(const char *text, size_t n);

#endif
