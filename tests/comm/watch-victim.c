/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "comm/comm.h"
#include "comm/watch.h"

#include <mpi.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/*
 * watch-victim HOW WHERE VICTIM TIMEOUT: a job of which one rank stops (HOW = stop), is killed
 * (kill), ends (exit), hangs in a task (hang), hangs where its collectives fail (fault), is just
 * slow (sleep) or nothing happens (none) at a place: start, step, end, leave (waiting for all),
 * finalize (in MPI_Finalize). Every rank prints its pid first. Status 0 only if everything went
 * well.
 */

struct plan
{
	const char *how, *where;
	int victim, rank;
	struct fsmoe_watch *watch;
};

static int find_fault(void *arg, char *sentence, size_t size)
{
	snprintf(sentence, size, "%s", (const char *)arg);
	return 1;
}

static void fate(const struct plan *plan, const char *where)
{
	if (plan->rank != plan->victim || strcmp(plan->where, where) != 0)
		return;
	if (strcmp(plan->how, "stop") == 0)
		raise(SIGSTOP);
	if (strcmp(plan->how, "kill") == 0)
		raise(SIGKILL);
	if (strcmp(plan->how, "exit") == 0)
		_exit(1);
	if (strcmp(plan->how, "fault") == 0)
	{
		fsmoe_watch_faults(plan->watch, find_fault, "the network is gone");
		fsmoe_watch_enter(plan->watch, FSMOE_GROUP_EP, "alltoall");
	}
	if (strcmp(plan->how, "hang") == 0 || strcmp(plan->how, "fault") == 0)
		nanosleep(&(struct timespec){100, 0}, NULL);
	if (strcmp(plan->how, "sleep") == 0)
		nanosleep(&(struct timespec){1, 500000000}, NULL);
}

static struct plan the_plan;

/* MPI_Finalize deletes the attributes of MPI_COMM_SELF first. */
static int at_finalize(MPI_Comm comm, int key, void *value, void *extra)
{
	(void)comm, (void)key, (void)value, (void)extra;
	fate(&the_plan, "finalize");
	return MPI_SUCCESS;
}

static void set_trap(void)
{
	int key, there;

	MPI_Initialized(&there);
	if (!there)
		return;
	MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, at_finalize, &key, NULL);
	MPI_Comm_set_attr(MPI_COMM_SELF, key, NULL);
}

static void step(fsmoe_comms_t comms, struct fsmoe_watch *watch, int number,
		 const struct plan *plan)
{
	struct fsmoe_comm *ep = fsmoe_comms_get(comms, FSMOE_GROUP_EP);
	char phase[32], label[32], send[64] = {0}, recv[64];

	snprintf(phase, sizeof(phase), "step %d", number);
	fsmoe_watch_phase(watch, phase);
	snprintf(label, sizeof(label), "gate L0 m%d", number);
	fsmoe_watch_task(watch, FSMOE_COMPUTE, label, -1);
	fsmoe_watch_done(watch, FSMOE_COMPUTE);
	fsmoe_watch_task(watch, FSMOE_COMPUTE, "order L0", -1);
	if (number == 3)
		fate(plan, "step");
	fsmoe_watch_task(watch, FSMOE_INTRA, "dispatch L0", 10 + number);
	CHECK(fsmoe_comm_alltoall(ep, send, recv, 8) == 0);
	fsmoe_watch_done(watch, FSMOE_INTRA);
	fsmoe_watch_done(watch, FSMOE_COMPUTE);
}

/* CPU time of all threads of this process so far. */
static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
	CHECK(argc == 5);
	struct plan plan = {argv[1], argv[2], atoi(argv[3]), 0, NULL};
	struct fsmoe_layout layout = {.esp = 1, .ep = 0};
	struct fsmoe_watch *watch;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_comms_t comms;

	CHECK(fsmoe_topo_create(&topo, NULL, 0) == 0);
	plan.rank = fsmoe_topo_rank(topo);
	dprintf(STDOUT_FILENO, "pid %d\n", (int)getpid());
	layout.ep = fsmoe_topo_ranks(topo);
	CHECK(fsmoe_watch_start(&watch, topo, atof(argv[4])) == 0);
	CHECK(fsmoe_watch_catch_term(watch) == 0);
	plan.watch = watch;
	fsmoe_watch_phase(watch, "start");
	fate(&plan, "start");

	CHECK(fsmoe_groups_create(&groups, topo, &layout) == 0);
	CHECK(fsmoe_comms_create(&comms, groups) == 0);
	fsmoe_comms_set_watch(comms, watch);
	for (int i = 1; i <= 5; i++)
		step(comms, watch, i, &plan);

	fsmoe_watch_phase(watch, "end");
	if (strcmp(plan.how, "none") == 0)
	{
		/* The watchdogs alone, while the program sleeps. */
		double before = cpu_seconds();
		nanosleep(&(struct timespec){1, 0}, NULL);
		dprintf(STDOUT_FILENO, "cpu %.2f\n", 100 * (cpu_seconds() - before));
	}
	fate(&plan, "end");
	fsmoe_comms_destroy(comms);
	fsmoe_groups_destroy(groups);
	fsmoe_watch_retire(watch);
	fate(&plan, "leave");
	the_plan = plan;
	set_trap();
	fsmoe_topo_destroy(topo);
	return 0;
}
