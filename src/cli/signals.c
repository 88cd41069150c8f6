/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/signals.h"

#include "comm/comm.h"
#include "comm/watch.h"
#include "runtime/introspect.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const int signals[] = {SIGINT, SIGTERM, SIGUSR1};
#define NSIGNALS (sizeof(signals) / sizeof(signals[0]))

/* One per process: signal handlers have no argument. */
static struct
{
	volatile sig_atomic_t asked;
	struct timespec when;
	struct fsmoe_watch *watch;
	pid_t *peers; /* the ranks of this host */
	int npeers;
} the;

/* A launcher that is asked to end may send two signals at once: those within half a second are the
 * same request. */
static int is_second(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return the.asked && (double)(now.tv_sec - the.when.tv_sec) +
					    1e-9 * (double)(now.tv_nsec - the.when.tv_nsec) >
				    0.5;
}

static int a_peer_is_gone(void)
{
	for (int i = 0; i < the.npeers; i++)
		if (kill(the.peers[i], 0) && errno == ESRCH)
			return 1;
	return 0;
}

static void on_signal(int signal)
{
	const int before = errno;

	if (signal != SIGUSR1 && (is_second() || (signal == SIGTERM && a_peer_is_gone())))
		fsmoe_watch_terminate(the.watch);
	if (!the.asked)
		clock_gettime(CLOCK_MONOTONIC, &the.when);
	the.asked = signal;
	errno = before;
}

/* Process numbers are unique within a namespace of a host. */
struct place
{
	char host[64], space[64];
	pid_t pid;
};

static int find_peers(struct fsmoe_comm *world)
{
	struct place mine = {.pid = getpid()}, *all = calloc((size_t)world->size, sizeof(*all));
	int err;

	the.peers = calloc((size_t)world->size, sizeof(*the.peers));
	if (!all || !the.peers)
		err = fsmoe_fail(ENOMEM, "no memory for a list of %d ranks", world->size);
	else
	{
		gethostname(mine.host, sizeof(mine.host) - 1);
		if (readlink("/proc/self/ns/pid", mine.space, sizeof(mine.space) - 1) < 0)
			mine.space[0] = '\0';
		err = fsmoe_comm_allgather(world, &mine, all, sizeof(mine));
	}
	for (int r = 0; r < world->size && !err; r++)
		if (!strcmp(all[r].host, mine.host) && !strcmp(all[r].space, mine.space))
			the.peers[the.npeers++] = all[r].pid;
	free(all);
	return err;
}

int cli_signals_catch(fsmoe_runtime_t runtime)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	int err = find_peers(fsmoe_comms_get(fsmoe_runtime_comms(runtime), FSMOE_GROUP_WORLD));

	if (err)
		return err;
	the.watch = fsmoe_runtime_watch(runtime);
	for (size_t i = 0; i < NSIGNALS; i++)
	{
		/* Handlers do not interrupt each other. */
		sigemptyset(&action.sa_mask);
		for (size_t k = 0; k < NSIGNALS; k++)
			sigaddset(&action.sa_mask, signals[k]);
		sigaction(signals[i], &action, NULL);
	}
	return 0;
}

void cli_signals_release(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (!the.peers)
		return;
	for (size_t i = 0; i < NSIGNALS && the.npeers; i++)
		sigaction(signals[i], &ignore, NULL);
	free(the.peers);
	the.peers = NULL;
	the.npeers = 0;
}

int cli_signals_asked(void)
{
	return the.asked;
}
