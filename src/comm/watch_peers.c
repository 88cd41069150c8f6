/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/watch_state.h"

#include "topo/mpi.h"

#include <fsmoe/error.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * The listener: answers ranks that timed out, and asks all ranks when this one did. Nothing here
 * waits for a message, so a dead rank cannot hold anybody up; should MPI itself block, the timer
 * ends the process.
 *
 * Who prints: of several ranks that ask at once the lowest; a rank that was asked before it timed
 * out lets the other one print, and asks by itself only if nothing comes of it.
 */

#define TAG_QUERY   1
#define TAG_ANSWER  2
#define LISTEN      0.05 /* seconds between looks */
#define GATHER      2.0  /* seconds for the others to answer */
#define GATHER_LOOK 0.01
#define YIELD       3.0 /* seconds for another rank to print and end the job */

struct answer
{
	unsigned query; /* the number of the query that is answered */
	int reporting;  /* the answering rank asks, too */
	char line[WATCH_LINE];
};

#define NANSWERS 4
struct watch_peers
{
	MPI_Comm comm;
	int size;
	unsigned query;
	char *text;        /* all lines */
	struct answer *of; /* by rank */
	int *answered;
	/* Answers on their way. */
	struct answer out[NANSWERS];
	MPI_Request request[NANSWERS];
};

int fsmoe_watch_peers_create(struct fsmoe_watch *watch)
{
	if (!watch->topo->mpi)
		return 0;

	struct watch_peers *peers = calloc(1, sizeof(*peers));
	if (!peers)
		return fsmoe_fail(ENOMEM, "no memory for the watchdog");
	watch->peers = peers;
	peers->comm = watch->topo->mpi->watch;
	peers->size = watch->topo->mpi->size;
	for (int i = 0; i < NANSWERS; i++)
		peers->request[i] = MPI_REQUEST_NULL;
	/* Allocated now: when they are needed, nothing may fail. */
	peers->text = malloc(((size_t)peers->size + 1) * WATCH_LINE);
	peers->of = calloc((size_t)peers->size, sizeof(*peers->of));
	peers->answered = calloc((size_t)peers->size, sizeof(*peers->answered));
	if (!peers->text || !peers->of || !peers->answered)
		return fsmoe_fail(ENOMEM, "no memory for the watchdog");
	return 0;
}

void fsmoe_watch_peers_destroy(struct fsmoe_watch *watch)
{
	struct watch_peers *peers = watch->peers;

	if (!peers)
		return;
	free(peers->text);
	free(peers->of);
	free(peers->answered);
	watch->peers = NULL;
	/* MPI still reads an answer that a stopped rank has not taken. */
	for (int i = 0; i < NANSWERS; i++)
	{
		int done = 0;
		if (MPI_Test(&peers->request[i], &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || !done)
			return;
	}
	free(peers);
}

static int is_there(struct watch_peers *peers, int tag, int *source)
{
	MPI_Status status;
	int there = 0;

	if (MPI_Iprobe(MPI_ANY_SOURCE, tag, peers->comm, &there, &status) != MPI_SUCCESS)
		return 0;
	*source = status.MPI_SOURCE;
	return there;
}

/* A free place for an answer; NULL when all are on their way: the asker does without. */
static struct answer *free_answer(struct watch_peers *peers, MPI_Request **request)
{
	for (int i = 0; i < NANSWERS; i++)
	{
		int done = 0;
		if (MPI_Test(&peers->request[i], &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done)
		{
			*request = &peers->request[i];
			return &peers->out[i];
		}
	}
	return NULL;
}

/* Answers whoever asks. Returns the lowest rank that did, or the number of ranks. */
static int answer_queries(struct fsmoe_watch *watch, int reporting)
{
	struct watch_peers *peers = watch->peers;
	int source, lowest = peers->size;

	while (is_there(peers, TAG_QUERY, &source))
	{
		unsigned query;
		MPI_Request *request;

		if (MPI_Recv(&query, 1, MPI_UNSIGNED, source, TAG_QUERY, peers->comm,
			     MPI_STATUS_IGNORE) != MPI_SUCCESS)
			break;
		if (source < lowest)
			lowest = source;
		if (!reporting)
			atomic_store(&watch->asked, fsmoe_watch_now());
		struct answer *answer = free_answer(peers, &request);
		if (!answer)
			continue;
		answer->query = query;
		answer->reporting = reporting;
		fsmoe_watch_line(watch, answer->line);
		MPI_Isend(answer, sizeof(*answer), MPI_BYTE, source, TAG_ANSWER, peers->comm,
			  request);
	}
	return lowest;
}

/* Takes answers to the present query. Returns the lowest rank that reports, too. */
static int take_answers(struct watch_peers *peers, int *left)
{
	int source, lowest = peers->size;

	while (is_there(peers, TAG_ANSWER, &source))
	{
		struct answer *answer = &peers->of[source];

		if (MPI_Recv(answer, sizeof(*answer), MPI_BYTE, source, TAG_ANSWER, peers->comm,
			     MPI_STATUS_IGNORE) != MPI_SUCCESS)
			break;
		if (answer->query != peers->query || peers->answered[source])
			continue;
		answer->line[WATCH_LINE - 1] = '\0';
		peers->answered[source] = 1;
		--*left;
		if (answer->reporting && source < lowest)
			lowest = source;
	}
	return lowest;
}

static void ask(struct fsmoe_watch *watch)
{
	struct watch_peers *peers = watch->peers;

	peers->query++;
	memset(peers->answered, 0, (size_t)peers->size * sizeof(*peers->answered));
	fsmoe_watch_line(watch, peers->of[watch->rank].line);
	peers->answered[watch->rank] = 1;
	for (int rank = 0; rank < peers->size; rank++)
	{
		MPI_Request request;
		if (rank != watch->rank &&
		    MPI_Isend(&peers->query, 1, MPI_UNSIGNED, rank, TAG_QUERY, peers->comm,
			      &request) == MPI_SUCCESS)
			MPI_Request_free(&request);
	}
}

static void print_and_abort(struct fsmoe_watch *watch)
{
	struct watch_peers *peers = watch->peers;
	size_t n = 0;

	/* The timer may have been faster. */
	if (atomic_exchange(&watch->printed, 1))
		return;
	for (int rank = 0; rank < peers->size; rank++)
	{
		char *line = peers->text + n;

		if (peers->answered[rank])
		{
			size_t length = strlen(peers->of[rank].line);
			memcpy(line, peers->of[rank].line, length);
			n += length;
		}
		else
			n += (size_t)fsmoe_watch_silent_line(rank, line);
	}
	n += (size_t)fsmoe_watch_verdict(watch, peers->text + n);
	fsmoe_watch_write(peers->text, n);
	MPI_Abort(peers->comm, FSMOE_EXIT_PEER);
}

/* This rank timed out. */
static void report(struct fsmoe_watch *watch)
{
	struct watch_peers *peers = watch->peers;
	int64_t until = fsmoe_watch_now() + (int64_t)(GATHER * 1e9);
	int left = peers->size - 1;

	ask(watch);
	while (left > 0 && fsmoe_watch_now() < until)
	{
		if (fsmoe_watch_sleep(watch, &watch->stop_listener, GATHER_LOOK))
			return;
		int asking = answer_queries(watch, 1), reporting = take_answers(peers, &left);
		if (asking < watch->rank || reporting < watch->rank)
		{
			atomic_store(&watch->asked, fsmoe_watch_now());
			return;
		}
	}
	if (atomic_load(&watch->expired))
		print_and_abort(watch);
}

void *fsmoe_watch_listen(void *arg)
{
	struct fsmoe_watch *watch = arg;

	while (!fsmoe_watch_sleep(watch, &watch->stop_listener, LISTEN))
	{
		answer_queries(watch, 0);
		int64_t asked = atomic_load(&watch->asked);
		int yields = asked && (double)(fsmoe_watch_now() - asked) * 1e-9 < YIELD;
		if (atomic_load(&watch->expired) && !yields)
			report(watch);
	}
	return NULL;
}
