/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "runtime/trace.h"

#include "base/clock.h"
#include "base/file.h"
#include "comm/clock_sync.h"
#include "trace/trace_files.h"
#include "trace/trace_mark.h"
#include "topo/topo.h"

#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <math.h>
#include <starpu.h>
#include <starpu_fxt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef HAVE_STARPU_MPI
#include <starpu_mpi.h>
#endif

struct fsmoe_trace
{
	char *dir;
	int dirfd; /* FxT keeps 127 bytes of its file's name: it gets one through this */
	int rank;
	struct fsmoe_trace_info info;
	uint64_t step; /* submitted last */
	enum
	{
		WARMING, /* StarPU starts, handles get their names: that is recorded */
		PAUSED,
		RECORDING,
		DONE
	} state;
	int aligned;                     /* libstarpumpi runs */
	int64_t mark_after, mark_before; /* ns, between which it left its mark */
	double ahead, ahead_error;       /* s, of rank 0's clock */
	int64_t tasks;                   /* recorded */
};

#ifdef STARPU_USE_FXT
static const int has_fxt = 1;
#else
static const int has_fxt;
#endif
#ifdef HAVE_STARPU_MPI
static const int has_mpi = 1;
#else
static const int has_mpi;
#endif

/* FxT stamps with fsmoe_clock(), in ns. */
static int64_t nanoseconds(double seconds)
{
	return (int64_t)llround(1e9 * seconds);
}

static int check(const struct fsmoe_trace *trace, const struct fsmoe_runtime_opts *opts)
{
	if (strcmp(opts->executor, "starpu") != 0)
		return fsmoe_fail(EINVAL,
				  "StarPU's traces are of StarPU's tasks: --executor=%s "
				  "has none",
				  opts->executor);
	if (!has_fxt)
		return fsmoe_fail(ENODEV, "this StarPU was built without FxT and cannot trace: "
					  "./quickstart build makes one that can");
	if (!has_mpi && trace->info.ranks > 1)
		return fsmoe_fail(ENODEV, "this StarPU was built without libstarpumpi, which sets "
					  "the clocks of several ranks' traces: trace one rank, or "
					  "use the StarPU that ./quickstart build makes");
	if (trace->info.ranks > FSMOE_TRACE_RANKS)
		return fsmoe_fail(ENODEV, "StarPU's tools read traces of %d ranks, not of %d",
				  FSMOE_TRACE_RANKS, trace->info.ranks);
	return 0;
}

/* All that StarPU wants to know, it reads from the environment. */
static int set_environment(const struct fsmoe_trace *trace)
{
	char prefix[64];

	snprintf(prefix, sizeof(prefix), "/proc/self/fd/%d", trace->dirfd);
	if (setenv("STARPU_FXT_TRACE", "1", 1) || setenv("STARPU_FXT_PREFIX", prefix, 1) ||
	    setenv("STARPU_FXT_SUFFIX", FSMOE_TRACE_FILE, 1))
		return fsmoe_fail(ENOMEM, "no memory for the trace");
	unsetenv("STARPU_GENERATE_TRACE"); /* all ranks would write the same file */
	return 0;
}

void fsmoe_trace_free(struct fsmoe_trace *trace)
{
	if (!trace)
		return;
	/* For a runtime that is started after this one. */
	setenv("STARPU_FXT_TRACE", "0", 1);
	unsetenv("STARPU_FXT_PREFIX");
	unsetenv("STARPU_FXT_SUFFIX");
	if (trace->dirfd >= 0)
		close(trace->dirfd);
	free(trace->dir);
	free(trace);
}

static int open_dir(struct fsmoe_trace *trace, const char *dir)
{
	int err = fsmoe_file_mkdir(dir);

	if (err)
		return err;
	trace->dir = strdup(dir);
	trace->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!trace->dir || trace->dirfd < 0)
		return fsmoe_fail(errno, "cannot open %s: %s", dir, strerror(errno));
	unlinkat(trace->dirfd, "trace.json", 0); /* of an earlier run */
	if (faccessat(trace->dirfd, ".", W_OK, 0))
		return fsmoe_fail(errno, "cannot write into %s: %s", dir, strerror(errno));
	return 0;
}

int fsmoe_trace_open(struct fsmoe_trace **trace, fsmoe_groups_t groups,
		     const struct fsmoe_runtime_opts *opts)
{
	fsmoe_topo_t topo = groups ? fsmoe_groups_topo(groups) : NULL;
	struct fsmoe_trace *t;
	int err;

	*trace = NULL;
	if (!opts->trace)
		return 0;
	t = calloc(1, sizeof(*t));
	if (!t)
		return fsmoe_fail(ENOMEM, "no memory for the trace");
	*t = (struct fsmoe_trace){.dirfd = -1,
				  .rank = topo ? fsmoe_topo_rank(topo) : 0,
				  .info = {.ranks = topo ? fsmoe_topo_ranks(topo) : 1,
					   .first = opts->trace_first,
					   .last = opts->trace_last}};
	err = check(t, opts);
	if (!err)
		err = open_dir(t, opts->trace);
	if (!err)
		err = set_environment(t);
	if (err)
	{
		fsmoe_trace_free(t);
		return err;
	}
	starpu_profiling_set_id(t->rank);
	*trace = t;
	return 0;
}

/* libstarpumpi, at its start, waits for all ranks and then records a mark, by which StarPU's tool
 * sets the clocks. It is started here, and not with StarPU, because clocks of hosts drift. */
static int align(struct fsmoe_trace *trace, struct fsmoe_comm *world)
{
#ifdef HAVE_STARPU_MPI
	int err;

	if (trace->info.ranks == 1)
		return 0;
	err = fsmoe_comm_sync_clock(world, &trace->ahead, &trace->ahead_error);
	if (err)
		return err;
	trace->mark_after = nanoseconds(fsmoe_clock());
	if (starpu_mpi_init_comm(NULL, NULL, 0, MPI_COMM_WORLD))
		return fsmoe_fail(EIO, "StarPU-MPI did not start; train without --trace");
	trace->mark_before = nanoseconds(fsmoe_clock());
	trace->aligned = 1;
#else
	(void)trace;
	(void)world;
#endif
	return 0;
}

static void stop_recording(struct fsmoe_trace *trace)
{
	if (trace->state != RECORDING)
		return;
#ifdef HAVE_STARPU_MPI
	if (trace->aligned)
		starpu_mpi_shutdown();
#endif
	trace->aligned = 0;
	if (trace->step > 0 && trace->step < trace->info.last)
		trace->info.last = trace->step; /* the run ends early */
	starpu_fxt_stop_profiling();
	trace->state = DONE;
}

int fsmoe_trace_submit(struct fsmoe_trace *trace, fsmoe_comms_t comms, uint64_t step)
{
	if (!trace)
		return 0;
	trace->step = step;
	if (trace->state == WARMING && step != trace->info.first)
	{
		starpu_fxt_stop_profiling();
		trace->state = PAUSED;
	}
	if (step == trace->info.first && trace->state < RECORDING)
	{
		starpu_iteration_push(0);
		starpu_iteration_push(0);
		starpu_fxt_start_profiling();
		trace->state = RECORDING;
		return align(trace, fsmoe_comms_get(comms, FSMOE_GROUP_WORLD));
	}
	return 0;
}

void fsmoe_trace_label(const struct fsmoe_trace *trace, char *label)
{
	for (char *c = label; trace && *c; c++)
		*c = *c == ' ' ? '_' : *c;
}

void fsmoe_trace_node(struct fsmoe_trace *trace, int layer)
{
	if (!trace || trace->state != RECORDING)
		return;
	/* Pushed for the next task alone, and both levels always: 1.3's pop leaves the level that
	 * it leaves as it was. */
	starpu_iteration_pop();
	starpu_iteration_pop();
	starpu_iteration_push(trace->step);
	starpu_iteration_push((unsigned long)(long)layer);
	trace->tasks += trace->step > 0;
}

void fsmoe_trace_waited(struct fsmoe_trace *trace)
{
	if (trace && trace->step == trace->info.last)
		stop_recording(trace);
}

void fsmoe_trace_finish(struct fsmoe_trace *trace)
{
	if (trace)
		stop_recording(trace);
}

/* Moves this rank's mark to rank 0's time `when` and describes the rank's file. */
static struct fsmoe_trace_part finish_part(const struct fsmoe_trace *trace, int64_t when)
{
	struct fsmoe_trace_part part = {.tasks = trace->tasks, .clock_error = -1};
	char name[64];
	struct stat status;

	snprintf(name, sizeof(name), FSMOE_TRACE_FILE "_%d", trace->rank);
	if (fstatat(trace->dirfd, name, &status, 0))
		return part;
	part.bytes = status.st_size;
	if (trace->info.ranks == 1 ||
	    fsmoe_trace_move_mark(trace->dirfd, name, trace->rank, trace->info.ranks,
				  trace->mark_after, trace->mark_before,
				  when + nanoseconds(trace->ahead)))
		part.clock_error = nanoseconds(trace->ahead_error);
	return part;
}

int fsmoe_trace_close(struct fsmoe_trace *trace, struct fsmoe_comm *world)
{
	int err = 0;

	/* Where nothing was recorded, a start may have failed and the other ranks be elsewhere. */
	if (trace && trace->state == DONE)
	{
		struct fsmoe_trace_part own;
		int64_t when = trace->mark_after;

		err = fsmoe_comm_broadcast(world, &when, sizeof(when), 0);
		own = finish_part(trace, when);
		if (!err)
			err = fsmoe_comm_allgather(world, &own, trace->info.part, sizeof(own));
		if (!err && trace->rank == 0)
			err = fsmoe_trace_describe(trace->dir, &trace->info);
	}
	fsmoe_trace_free(trace);
	return err;
}
