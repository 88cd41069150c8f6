/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/trace_files.h"
#include "trace/trace_paje.h"

#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <fsmoe/error.h>
#include <limits.h>
#include <starpu.h>
#include <starpu_fxt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char format[] = "fsmoe trace";

static int in_dir(char path[PATH_MAX], const char *dir, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX)
		return 0;
	return fsmoe_fail(ENAMETOOLONG, "the path %s is too long", dir);
}

int fsmoe_trace_describe(const char *dir, const struct fsmoe_trace_info *info)
{
	char path[PATH_MAX];
	FILE *file;
	int err = in_dir(path, dir, "trace.json");

	if (err)
		return err;
	file = fopen(path, "we");
	if (!file)
		return fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	fprintf(file, "{\n  \"format\": \"%s\",\n  \"version\": 1,\n", format);
	fprintf(file, "  \"first_step\": %llu,\n  \"last_step\": %llu,\n  \"ranks\": [\n",
		(unsigned long long)info->first, (unsigned long long)info->last);
	for (int r = 0; r < info->ranks; r++)
		fprintf(file,
			"    {\"bytes\": %lld, \"tasks\": %lld, \"clock_error_ns\": %lld}%s\n",
			(long long)info->part[r].bytes, (long long)info->part[r].tasks,
			(long long)info->part[r].clock_error, r + 1 < info->ranks ? "," : "");
	fprintf(file, "  ]\n}\n");
	errno = 0;
	err = ferror(file);
	if (fclose(file) || err)
		return fsmoe_fail(errno ? errno : EIO, "cannot write %s", path);
	return 0;
}

int fsmoe_trace_info(const char *dir, struct fsmoe_trace_info *info)
{
	char path[PATH_MAX];
	struct fsmoe_json json;
	json_int_t first, last, version;
	const char *what;
	json_t *ranks;
	int err = in_dir(path, dir, "trace.json");

	if (!err)
		err = fsmoe_json_load(&json, path);
	if (err)
		return err;
	memset(info, 0, sizeof(*info));
	if (json_unpack(json.root, "{s:s, s:I, s:I, s:I, s:o}", "format", &what, "version",
			&version, "first_step", &first, "last_step", &last, "ranks", &ranks) ||
	    strcmp(what, format) || version != 1 || first < 1 || last < first ||
	    json_array_size(ranks) < 1 || json_array_size(ranks) > FSMOE_TRACE_RANKS)
		err = -EPROTO;
	info->first = err ? 0 : (uint64_t)first;
	info->last = err ? 0 : (uint64_t)last;
	info->ranks = err ? 0 : (int)json_array_size(ranks);
	for (int r = 0; r < info->ranks && !err; r++)
	{
		json_int_t bytes, tasks, error;

		if (json_unpack(json_array_get(ranks, (size_t)r), "{s:I, s:I, s:I}", "bytes",
				&bytes, "tasks", &tasks, "clock_error_ns", &error))
			err = -EPROTO;
		else
			info->part[r] = (struct fsmoe_trace_part){bytes, tasks, error};
	}
	fsmoe_json_free(&json);
	return err ? fsmoe_fail(EPROTO, "%s is no description of a trace: train with --trace again",
				path)
		   : 0;
}

/* Are the ranks' files as they were written? */
static int check_parts(const char *dir, const struct fsmoe_trace_info *info)
{
	for (int r = 0; r < info->ranks; r++)
	{
		char path[PATH_MAX], name[64];
		struct stat status;

		snprintf(name, sizeof(name), FSMOE_TRACE_FILE "_%d", r);
		if (in_dir(path, dir, name))
			return -ENAMETOOLONG;
		if (stat(path, &status))
			return fsmoe_fail(EPROTO,
					  "%s, the trace of rank %d, is missing: the ranks must "
					  "share the folder, or copy the files of all into one",
					  path, r);
		if (status.st_size != info->part[r].bytes)
			return fsmoe_fail(EPROTO,
					  "%s has %lld bytes and not %lld: the trace is damaged or "
					  "of another run; train with --trace again",
					  path, (long long)status.st_size,
					  (long long)info->part[r].bytes);
	}
	return 0;
}

/* In the child. StarPU ends its process when it does not like what it reads. */
static void generate(const char *dir, int ranks)
{
	static char names[FSMOE_TRACE_RANKS][32];
	static struct starpu_fxt_options options;
	int log;

	if (chdir(dir))
		_exit(1);
	log = open("starpu_fxt.log", O_WRONLY | O_CREAT | O_TRUNC, 0666);
	if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
		_exit(1);
	starpu_fxt_options_init(&options);
	options.ninputfiles = (unsigned)ranks;
	for (int r = 0; r < ranks; r++)
	{
		snprintf(names[r], sizeof(names[r]), FSMOE_TRACE_FILE "_%d", r);
		options.filenames[r] = names[r];
	}
	starpu_fxt_generate_trace(&options);
	fflush(NULL);
	_exit(0);
}

static int run_tool(const char *dir, int ranks)
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child < 0)
		return fsmoe_fail(errno, "cannot start a process: %s", strerror(errno));
	if (child == 0)
		generate(dir, ranks);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return fsmoe_fail(errno, "cannot wait for a process: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return fsmoe_fail(EPROTO,
			  "StarPU cannot read the traces in %s (%s/starpu_fxt.log has its words): "
			  "train with --trace again",
			  dir, dir);
}

/* tasks.rec has a block of "Key: value" lines a task, ended by an empty line. */
struct task
{
	long long step, rank;
	double start, end; /* ms; end 0: it has not run */
};

static void read_line(struct task *task, const char *line)
{
	sscanf(line, "StartTime: %lf", &task->start);
	sscanf(line, "EndTime: %lf", &task->end);
	sscanf(line, "Iteration: %lld", &task->step);
	sscanf(line, "MPIRank: %lld", &task->rank);
}

static void count_task(const struct task *task, struct fsmoe_trace_info *info, int64_t *tasks)
{
	const long long rank = task->rank < 0 ? 0 : task->rank; /* of one rank it says -1 */

	if (task->end == 0 || task->step < (long long)info->first ||
	    task->step > (long long)info->last || rank >= info->ranks)
		return;
	tasks[rank]++;
	info->from = info->to == 0 || task->start < info->from ? task->start : info->from;
	info->to = task->end > info->to ? task->end : info->to;
}

/* The tasks of the steps that have run, by rank, and when. */
static int count_tasks(const char *dir, struct fsmoe_trace_info *info, int64_t *tasks)
{
	char path[PATH_MAX], *text, *rest, *line;
	struct task task = {0};
	int err = in_dir(path, dir, "tasks.rec");

	if (!err)
		err = fsmoe_file_read(path, &text, NULL);
	if (err)
		return err;
	memset(tasks, 0, FSMOE_TRACE_RANKS * sizeof(*tasks));
	for (rest = text; (line = strsep(&rest, "\n"));)
	{
		read_line(&task, line);
		if (*line)
			continue;
		count_task(&task, info, tasks);
		task = (struct task){0};
	}
	free(text);
	return 0;
}

int fsmoe_trace_convert(const char *dir, struct fsmoe_trace_info *info)
{
	int64_t tasks[FSMOE_TRACE_RANKS];
	char paje[PATH_MAX];
	int err = in_dir(paje, dir, "paje.trace");

	if (!err)
		err = fsmoe_trace_info(dir, info);

	if (!err)
		err = check_parts(dir, info);
	if (!err)
		err = run_tool(dir, info->ranks);
	if (!err)
		err = fsmoe_trace_mend_paje(paje);
	if (!err)
		err = count_tasks(dir, info, tasks);
	for (int r = 0; r < info->ranks && !err; r++)
		if (tasks[r] != info->part[r].tasks)
			err = fsmoe_fail(EPROTO,
					 "%s/tasks.rec has %lld tasks of rank %d and not %lld: the "
					 "trace is not whole; train with --trace again",
					 dir, (long long)tasks[r], r,
					 (long long)info->part[r].tasks);
	return err;
}
