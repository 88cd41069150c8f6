/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/watch_state.h"

#include "topo/topo.h"

#include <fsmoe/error.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The watchdog that SIGTERM belongs to; a signal handler has no argument. */
static struct fsmoe_watch *_Atomic catcher;

/* The task this thread runs; a thread works for one watchdog. */
static _Thread_local struct
{
	int running, lane, seq;
} task;

int64_t fsmoe_watch_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void set_label(struct watch_label *label, const char *string)
{
	uint64_t word[WATCH_WORDS] = {0};

	memcpy(word, string, strnlen(string, sizeof(word) - 1));
	for (int i = 0; i < WATCH_WORDS; i++)
		atomic_store_explicit(&label->word[i], word[i], memory_order_relaxed);
}

static void copy_label(struct watch_label *to, const struct watch_label *from)
{
	for (int i = 0; i < WATCH_WORDS; i++)
		atomic_store_explicit(&to->word[i],
				      atomic_load_explicit(&from->word[i], memory_order_relaxed),
				      memory_order_relaxed);
}

static void happened(struct fsmoe_watch *watch)
{
	atomic_fetch_add_explicit(&watch->events, 1, memory_order_relaxed);
}

void fsmoe_watch_phase(struct fsmoe_watch *watch, const char *phase)
{
	if (!watch)
		return;
	set_label(&watch->phase, phase);
	happened(watch);
}

void fsmoe_watch_enter(struct fsmoe_watch *watch, enum fsmoe_group group, const char *collective)
{
	if (!watch)
		return;
	struct watch_group *slot = &watch->group[group];
	set_label(&slot->collective, collective);
	atomic_store_explicit(&slot->lane, task.running ? task.lane : -1, memory_order_relaxed);
	atomic_store_explicit(&slot->seq, task.seq, memory_order_relaxed);
	atomic_fetch_add_explicit(&slot->calls, 1, memory_order_relaxed);
	atomic_store_explicit(&slot->entered, fsmoe_watch_now(), memory_order_release);
	happened(watch);
}

void fsmoe_watch_leave(struct fsmoe_watch *watch, enum fsmoe_group group)
{
	if (!watch)
		return;
	atomic_store_explicit(&watch->group[group].entered, 0, memory_order_release);
	happened(watch);
}

void fsmoe_watch_task(struct fsmoe_watch *watch, enum fsmoe_lane lane, const char *label, int seq)
{
	if (!watch)
		return;
	/* Outside a sequence (compute) a collective is better told by its own count. */
	task.running = seq >= 0;
	task.lane = (int)lane;
	task.seq = seq;
	set_label(&watch->lane[lane].running, label);
	atomic_store_explicit(&watch->lane[lane].begun, fsmoe_watch_now(), memory_order_release);
	happened(watch);
}

void fsmoe_watch_done(struct fsmoe_watch *watch, enum fsmoe_lane lane)
{
	if (!watch)
		return;
	task.running = 0;
	copy_label(&watch->lane[lane].done, &watch->lane[lane].running);
	atomic_store_explicit(&watch->lane[lane].begun, 0, memory_order_relaxed);
	atomic_store_explicit(&watch->lane[lane].ended, fsmoe_watch_now(), memory_order_release);
	happened(watch);
}

void fsmoe_watch_faults(struct fsmoe_watch *watch, fsmoe_fault_fn find, void *arg)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->fault_lock);
	watch->find_fault = find;
	watch->fault_arg = arg;
	pthread_mutex_unlock(&watch->fault_lock);
}

int fsmoe_watch_find_fault(struct fsmoe_watch *watch, char *sentence, size_t size)
{
	int found = 0;

	pthread_mutex_lock(&watch->fault_lock);
	if (watch->find_fault)
		found = watch->find_fault(watch->fault_arg, sentence, size);
	pthread_mutex_unlock(&watch->fault_lock);
	return found;
}

int fsmoe_watch_sleep(struct fsmoe_watch *watch, const int *flag, double seconds)
{
	int64_t until = fsmoe_watch_now() + (int64_t)(seconds * 1e9);
	struct timespec at = {until / 1000000000, until % 1000000000};
	int ret = 0;

	pthread_mutex_lock(&watch->lock);
	while (!*flag && ret != ETIMEDOUT)
		ret = pthread_cond_timedwait(&watch->wake, &watch->lock, &at);
	ret = *flag;
	pthread_mutex_unlock(&watch->lock);
	return ret;
}

static void end_thread(struct fsmoe_watch *watch, int *flag, atomic_int *has, pthread_t thread)
{
	if (!atomic_load(has))
		return;
	pthread_mutex_lock(&watch->lock);
	*flag = 1;
	pthread_cond_broadcast(&watch->wake);
	pthread_mutex_unlock(&watch->lock);
	pthread_join(thread, NULL);
	atomic_store(has, 0);
}

static void destroy(struct fsmoe_watch *watch)
{
	end_thread(watch, &watch->stop_listener, &watch->has_listener, watch->listener);
	end_thread(watch, &watch->stop_timer, &watch->has_timer, watch->timer);
	if (watch->catches_term)
	{
		sigaction(SIGTERM, &watch->former_term, NULL);
		atomic_store(&catcher, NULL);
	}
	fsmoe_watch_peers_destroy(watch);
	pthread_cond_destroy(&watch->wake);
	pthread_mutex_destroy(&watch->lock);
	pthread_mutex_destroy(&watch->fault_lock);
	free(watch);
}

/* fsmoe_topo_destroy() tells where it is. */
static void at_end(enum fsmoe_topo_end stage, void *arg)
{
	struct fsmoe_watch *watch = arg;

	switch (stage)
	{
	case FSMOE_END_LEAVING:
		fsmoe_watch_phase(watch, "end (waiting for all ranks to end)");
		atomic_store(&watch->resting, 0);
		break;
	case FSMOE_END_FINALIZING:
		/* From here on only the timer watches: no MPI. */
		fsmoe_watch_phase(watch, "end (MPI_Finalize)");
		end_thread(watch, &watch->stop_listener, &watch->has_listener, watch->listener);
		fsmoe_watch_peers_destroy(watch);
		break;
	case FSMOE_END_GONE:
		watch->topo = NULL;
		atomic_store(&watch->resting, 1);
		if (watch->retired)
			destroy(watch);
		break;
	}
}

static int start_thread(atomic_int *has, pthread_t *thread, void *(*fn)(void *), void *arg)
{
	sigset_t all, before;

	/* Signals belong to the program's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_store(has, 1);
	int err = pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
	{
		atomic_store(has, 0);
		return fsmoe_fail(err, "cannot start the watchdog's thread: %s", strerror(err));
	}
	return 0;
}

static struct fsmoe_watch *allocate(fsmoe_topo_t topo, double timeout)
{
	struct fsmoe_watch *watch = calloc(1, sizeof(*watch));
	pthread_condattr_t attr;

	if (!watch)
		return NULL;
	watch->topo = topo;
	watch->rank = fsmoe_topo_rank(topo);
	watch->alone = fsmoe_topo_ranks(topo) == 1;
	watch->timeout = timeout;
	set_label(&watch->phase, "start");
	pthread_mutex_init(&watch->lock, NULL);
	pthread_mutex_init(&watch->fault_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&watch->wake, &attr);
	pthread_condattr_destroy(&attr);
	return watch;
}

int fsmoe_watch_start(struct fsmoe_watch **watch, fsmoe_topo_t topo, double timeout)
{
	if (!(timeout >= 0))
		return fsmoe_fail(EINVAL, "a time-out of %g s: give seconds, or 0 for none",
				  timeout);
	/* A program part that starts again: the one it retired makes room. */
	if (topo->at_end == at_end && ((struct fsmoe_watch *)topo->at_end_arg)->retired)
		fsmoe_watch_stop(topo->at_end_arg);
	struct fsmoe_watch *new = allocate(topo, timeout);
	if (!new)
		return fsmoe_fail(ENOMEM, "no memory for the watchdog");

	int ret = fsmoe_topo_at_end(topo, at_end, new);
	if (ret)
		new->topo = NULL;
	if (!ret)
		ret = fsmoe_watch_peers_create(new);
	if (!ret && new->peers)
		ret = start_thread(&new->has_listener, &new->listener, fsmoe_watch_listen, new);
	if (!ret && timeout > 0)
		ret = start_thread(&new->has_timer, &new->timer, fsmoe_watch_timer, new);
	if (ret)
		fsmoe_watch_stop(new);
	else
		*watch = new;
	return ret;
}

void fsmoe_watch_stop(struct fsmoe_watch *watch)
{
	if (!watch)
		return;
	if (watch->topo)
		fsmoe_topo_at_end(watch->topo, NULL, NULL);
	destroy(watch);
}

void fsmoe_watch_retire(struct fsmoe_watch *watch)
{
	if (!watch)
		return;
	if (!watch->topo)
	{
		destroy(watch);
		return;
	}
	fsmoe_watch_phase(watch, "end");
	atomic_store(&watch->resting, 1);
	watch->retired = 1;
}

void fsmoe_watch_terminate(struct fsmoe_watch *watch)
{
	char line[WATCH_LINE];
	int64_t recent = 10 * (int64_t)1000000000;

	/* Where the ranks were is on the terminal already when a watchdog ended the job. */
	if (watch && !atomic_load(&watch->printed) &&
	    (!atomic_load(&watch->asked) ||
	     fsmoe_watch_now() - atomic_load(&watch->asked) > recent))
	{
		fsmoe_watch_write(line, (size_t)fsmoe_watch_term_line(watch, line));
		/* Open MPI's launcher means to wait a second between SIGTERM and SIGKILL, but goes
		 * on at the first rank that ends: the others shall have had their say by then. */
		nanosleep(&(struct timespec){0, 400000000}, NULL);
	}
	_exit(watch && watch->alone ? FSMOE_EXIT_RUN : FSMOE_EXIT_PEER);
}

static void on_term(int signal)
{
	(void)signal;
	fsmoe_watch_terminate(atomic_load(&catcher));
}

int fsmoe_watch_catch_term(struct fsmoe_watch *watch)
{
	struct fsmoe_watch *nobody = NULL;
	struct sigaction action = {.sa_handler = on_term};

	if (!atomic_compare_exchange_strong(&catcher, &nobody, watch))
		return fsmoe_fail(EBUSY, "a watchdog of this process handles SIGTERM already");
	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, &watch->former_term);
	watch->catches_term = 1;
	return 0;
}
