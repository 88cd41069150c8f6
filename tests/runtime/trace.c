/* SPDX-License-Identifier: Apache-2.0 */
/*
 * StarPU's traces of a few steps, on any number of ranks: tasks.rec and paje.trace hold every node
 * of the traced steps once, under its name and layer, and nothing of other steps; a collective has
 * begun on all ranks of its group before it ends on any. Then the files are broken in every way,
 * and each gets its sentence. Arguments: a folder, and nodes to pretend.
 */
#include "base/file.h"
#include "trace/trace_files.h"
#include "trace/trace_paje.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
	BATCH = 8,
	SEQ = 16,
	STEPS = 5,
	FIRST = 2,
	LAST = 3,
	MOST_RANKS = 4
};

/* The record of one task in tasks.rec. */
struct task
{
	char name[128];
	int step, layer, rank;
	double start, end;
};

struct tasks
{
	struct task *task;
	int n;
};

static int failures;

static void complain(const char *what, const char *name, int rank, int step, int n)
{
	printf("%s: '%s' of rank %d, step %d: %d\n", what, name, rank, step, n);
	failures++;
}

static void read_tasks(const char *dir, struct tasks *tasks)
{
	char path[4096], line[4096];
	struct task task = {.step = -1, .layer = -1};
	FILE *file;

	*tasks = (struct tasks){0};
	snprintf(path, sizeof(path), "%s/tasks.rec", dir);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
	{
		sscanf(line, "Name: %127[^\n]", task.name);
		sscanf(line, "Iteration: %d %d", &task.step, &task.layer);
		sscanf(line, "MPIRank: %d", &task.rank);
		sscanf(line, "StartTime: %lf", &task.start);
		sscanf(line, "EndTime: %lf", &task.end);
		if (line[0] != '\n')
			continue;
		if (task.step > 0 && task.end > 0)
		{
			task.rank = task.rank < 0 ? 0 : task.rank;
			tasks->task =
				realloc(tasks->task, (size_t)(tasks->n + 1) * sizeof(*tasks->task));
			tasks->task[tasks->n++] = task;
		}
		task = (struct task){.step = -1, .layer = -1};
	}
	if (file)
		fclose(file);
}

/* The names and layers of a graph's nodes, which outlive it. */
static struct tasks nodes_of(fsmoe_graph_t graph)
{
	struct tasks nodes;
	const struct fsmoe_node *node = fsmoe_graph_nodes(graph, &nodes.n);

	nodes.task = calloc((size_t)nodes.n, sizeof(*nodes.task));
	for (int i = 0; i < nodes.n; i++)
	{
		fsmoe_node_label(&node[i], nodes.task[i].name, sizeof(nodes.task[i].name));
		for (char *c = nodes.task[i].name; *c; c++)
			*c = *c == ' ' ? '_' : *c;
		nodes.task[i].layer = node[i].layer;
	}
	return nodes;
}

static int in_graph(const struct tasks *nodes, const char *name)
{
	int count = 0;

	for (int i = 0; i < nodes->n; i++)
		count += !strcmp(nodes->task[i].name, name);
	return count;
}

static int in_tasks(const struct tasks *tasks, const char *name, int layer, int rank, int step)
{
	int count = 0;

	for (int i = 0; i < tasks->n; i++)
	{
		const struct task *t = &tasks->task[i];
		count += !strcmp(t->name, name) && t->layer == layer && t->rank == rank &&
			 t->step == step;
	}
	return count;
}

static int in_paje(const char *dir, const char *name)
{
	char path[4096], line[4096], value[128];
	int count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/paje.trace", dir);
	file = fopen(path, "r");
	/* 20: a task begins. StarPU 1.4 writes names in quotes. */
	while (file && fgets(line, sizeof(line), file))
		count += (sscanf(line, "20\t%*s\t%*s\tWS\t\"%127[^\"]", value) == 1 ||
			  sscanf(line, "20\t%*s\t%*s\tWS\t%127s", value) == 1) &&
			 !strcmp(value, name);
	if (file)
		fclose(file);
	return count;
}

/* A name has its layer in it: counting names by layer counts nodes. */
static void check_names(const char *dir, const struct tasks *nodes, const struct tasks *tasks,
			int ranks)
{
	const int wanted = nodes->n * ranks * (LAST - FIRST + 1);

	for (int i = 0; i < nodes->n; i++)
	{
		const char *name = nodes->task[i].name;
		const int n = in_graph(nodes, name), drawn = in_paje(dir, name);

		for (int rank = 0; rank < ranks; rank++)
			for (int step = FIRST; step <= LAST; step++)
			{
				int have = in_tasks(tasks, name, nodes->task[i].layer, rank, step);
				if (have != n)
					complain("tasks.rec", name, rank, step, have);
			}
		if (drawn != n * ranks * (LAST - FIRST + 1))
			complain("paje.trace", name, -1, -1, drawn);
	}
	if (tasks->n != wanted)
		complain("tasks.rec has another number of tasks", "all", -1, wanted, tasks->n);
}

static int by_start(const void *a, const void *b)
{
	const struct task *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* The k-th task of a name is the same collective on every rank. Times are printed to a thousandth
 * of a microsecond; a stamp is taken some microseconds around the collective itself. */
static void check_clocks(const struct tasks *tasks, int ranks, const char *kind)
{
	struct task *seen[MOST_RANKS][1024];
	int n[MOST_RANKS] = {0};

	for (int i = 0; i < tasks->n; i++)
	{
		struct task *t = &tasks->task[i];
		if (!strncmp(t->name, kind, strlen(kind)) && n[t->rank] < 1024)
			seen[t->rank][n[t->rank]++] = t;
	}
	for (int k = 0; k < n[0]; k++)
		for (int r = 1; r < ranks; r++)
			if (strcmp(seen[r][k]->name, seen[0][k]->name) ||
			    seen[r][k]->start > seen[0][k]->end ||
			    seen[0][k]->start > seen[r][k]->end)
			{
				printf("%s: %f .. %f on rank 0, %s %f .. %f on rank %d\n",
				       seen[0][k]->name, seen[0][k]->start, seen[0][k]->end,
				       seen[r][k]->name, seen[r][k]->start, seen[r][k]->end, r);
				failures++;
			}
	if (n[0] == 0)
		complain("no collective", kind, 0, 0, 0);
}

static void refused(const char *dir, const char *sentence)
{
	struct fsmoe_trace_info info;
	const int err = fsmoe_trace_convert(dir, &info);

	if (err < 0 && strstr(fsmoe_last_error(), sentence))
		return;
	printf("'%s' was expected, not %d '%s'\n", sentence, err, fsmoe_last_error());
	failures++;
}

static void write_file(const char *path, const char *text, size_t size)
{
	FILE *file = fopen(path, "w");

	if (!file || fwrite(text, 1, size, file) != size || fclose(file))
		failures++;
}

/* The last: the folder is no trace any more. */
static void check_broken(const char *dir, struct fsmoe_trace_info *info)
{
	char path[4096], json[4096], garbage[4096];

	snprintf(path, sizeof(path), "%s/prof_file_0", dir);
	snprintf(json, sizeof(json), "%s/trace.json", dir);
	TRY(truncate(path, info->part[0].bytes / 2));
	refused(dir, "bytes and not");
	/* The right size, but not the recorded contents. */
	info->part[0].bytes /= 2;
	TRY(fsmoe_trace_describe(dir, info));
	refused(dir, "train with --trace again");
	memset(garbage, 'x', sizeof(garbage));
	write_file(path, garbage, sizeof(garbage));
	info->part[0].bytes = sizeof(garbage);
	TRY(fsmoe_trace_describe(dir, info));
	refused(dir, "train with --trace again");
	TRY(unlink(path));
	refused(dir, "is missing");
	write_file(json, "{\"format\": \"fsmoe plan\"}\n", 25);
	refused(dir, "is no description of a trace");
	TRY(unlink(json));
	refused(dir, "cannot read");
}

static void check(const char *dir, const struct tasks *nodes, int ranks)
{
	struct fsmoe_trace_info info;
	struct tasks tasks;

	TRY(fsmoe_trace_convert(dir, &info));
	read_tasks(dir, &tasks);
	check_names(dir, nodes, &tasks, ranks);
	if (ranks > 1)
	{
		qsort(tasks.task, (size_t)tasks.n, sizeof(*tasks.task), by_start);
		check_clocks(&tasks, ranks, "allreduce");
		check_clocks(&tasks, ranks, "alltoall");
	}
	free(tasks.task);
	check_broken(dir, &info);
}

/* StarPU's mistakes in paje.trace: colours; a counter's value before the one that it follows, with
 * other containers and counters between them. */
static int check_mended(const char *dir)
{
	static const char wrong[] = "%EventDef\tPajeDefineContainerType\t1\n"
				    "6\te\ttask\t\"255 0 51\"\n"
				    "13\t2.000000000\t1_sched\tnready\t3.0\n"
				    "13\t1.500000000\t1_sched nready\t4.0\n"
				    "13\t1.500000000\t0_sched\tnready\t4.0\n"
				    "10\t1.400000000\t1_w0\tWS\t\"B\"\n",
			  right[] = "%EventDef\tPajeDefineContainerType\t1\n"
				    "6\te\ttask\t\"1.000000 0.000000 0.200000\"\n"
				    "13\t2.000000000\t1_sched\tnready\t3.0\n"
				    "13\t2.000000000\t1_sched\tnready\t4.0\n"
				    "13\t1.500000000\t0_sched\tnready\t4.0\n"
				    "10\t1.400000000\t1_w0\tWS\t\"B\"\n";
	char path[4096], *text;
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "%s/mended", dir);
	if (!(f = fopen(path, "w")) || fputs(wrong, f) < 0 || fclose(f))
		return 1;
	TRY(fsmoe_trace_mend_paje(path));
	TRY(fsmoe_file_read(path, &text, NULL));
	bad = strcmp(text, right) != 0;
	if (bad)
		printf("mended it is\n%s", text);
	free(text);
	unlink(path);
	return bad;
}

int main(int argc, char **argv)
{
	static int32_t tokens[BATCH * SEQ], targets[BATCH * SEQ];
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_train_result result;
	struct fsmoe_runtime_opts ropts;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	fsmoe_trainer_t trainer;
	struct tasks nodes;

	if (argc < 2)
		return 2;
	TRY(fsmoe_model_spec_init(&spec, "tiny"));
	spec.forward_degree = spec.backward_degree = 2;
	fsmoe_train_opts_init(&opts);
	opts.global_batch = BATCH;
	opts.seq_length = SEQ;
	fsmoe_runtime_opts_init(&ropts);
	ropts.trace = argv[1];
	ropts.trace_first = FIRST;
	ropts.trace_last = LAST;
	TRY(fsmoe_topo_create(&topo, NULL, argc > 2 ? atoi(argv[2]) : 0));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	if (fsmoe_runtime_start(&rt, groups, &ropts))
	{
		printf("skipped: %s\n", fsmoe_last_error());
		return strstr(fsmoe_last_error(), "this StarPU was built without") ? 77 : 1;
	}
	TRY(fsmoe_trainer_create(&trainer, rt, fsmoe_model_as_forward(&spec), &opts));
	for (int i = 0; i < BATCH * SEQ; i++)
		targets[i] = (tokens[i] = i * 31 % 256) ^ 1;
	for (int step = 1; step <= STEPS; step++)
		TRY(fsmoe_trainer_step(trainer, tokens, targets, 1e-3, &result));
	nodes = nodes_of(fsmoe_trainer_graph(trainer));
	fsmoe_trainer_destroy(trainer);
	fsmoe_runtime_stop(rt);
	if (fsmoe_topo_rank(topo) == 0)
	{
		check(argv[1], &nodes, fsmoe_topo_ranks(topo));
		failures += check_mended(argv[1]);
	}
	free(nodes.task);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return failures != 0;
}
