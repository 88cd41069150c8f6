/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delays CAUSE FOLDER [NODES], on four ranks: a step in which something takes 50 ms longer, and
 * what a report says of it. The delays are this test's own: rows whose kernels sleep, a policy
 * whose pop does, a rank that submits late.
 */
#include "graph/graph.h"
#include "report/report.h"
#include "step/step.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <fsmoe/starpu.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum
{
	STEPS = 3, /* of which the last is late */
	LATE_MS = 50,
	SEEN_MS = 40 /* at least, on a machine that others use too */
};

static void late(void)
{
	nanosleep(&(struct timespec){.tv_nsec = LATE_MS * 1000000L}, NULL);
}

/* --- what is late ------------------------------------------------------------------------- */

static struct late_row
{
	struct fsmoe_op op; /* first: a node's op is this struct */
	const struct fsmoe_op *real;
	int after;
} row;
static char popped[128]; /* the task after which pop sleeps */
static volatile int armed;
static struct starpu_task *(*real_pop)(unsigned ctx);

static int late_kernel(const struct fsmoe_call *call)
{
	int err;

	if (!row.after && call->step->step == STEPS)
		late();
	err = row.real->cpu[FSMOE_F32](call);
	if (row.after && call->step->step == STEPS)
		late();
	return err;
}

static struct starpu_task *late_pop(unsigned ctx)
{
	struct starpu_task *task = real_pop(ctx);

	if (task && armed && task->name && !strcmp(task->name, popped))
		late();
	return task;
}

struct setup
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	struct fsmoe_step_graph step;
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	int rank;
};

/* The first forward task of that operation in a layer. */
static struct fsmoe_node *find(const struct setup *s, const char *op, int layer)
{
	struct fsmoe_graph *g = s->step.graph;

	for (int i = 0; i < g->nnodes; i++)
		if (!strncmp(g->nodes[i].op->name, op, strlen(op)) && g->nodes[i].layer == layer &&
		    g->nodes[i].phase == FSMOE_FORWARD)
			return &g->nodes[i];
	printf("there is no %s in layer %d\n", op, layer);
	exit(1);
}

static void replace(struct fsmoe_node *node, int after)
{
	row = (struct late_row){.op = *node->op, .real = node->op, .after = after};
	row.op.cpu[FSMOE_F32] = late_kernel;
	node->op = &row.op;
}

/* --- each cause, and what is to be said of it --------------------------------------------- */

static void slow_expert(struct setup *s)
{
	if (s->rank == 1)
		replace(find(s, "expert", 1), 0);
}

/* On every rank: what is slow is none of them, but what is between them. */
static void slow_link(struct setup *s)
{
	replace(find(s, "alltoall", 0), 1);
}

static void busy_scheduler(struct setup *s)
{
	if (s->rank == 1)
		fsmoe_node_label(find(s, "expert", 1), popped, sizeof(popped));
}

static void nothing(struct setup *s)
{
	(void)s;
}

static const struct delay
{
	const char *name;
	void (*inject)(struct setup *s);
	int late_rank; /* that submits late; -1: none */
	/* Expected findings: the cause, the rank (-1: any) and the task on the critical path; the
	 * cause of the wait on one rank, and for which rank it waits. */
	const char *cause;
	int rank;
	const char *task, *wait;
	int waits_at, waits_on;
} delays[] = {
	{"slow-expert", slow_expert, -1, "slow task", 1, "expert_mlp L1", "late peer", 0, 1},
	{"slow-link", slow_link, -1, "slow link", -1, "alltoall L0", "slow link", 0, 0},
	{"late-peer", nothing, 2, "late peer", 2, "", "late peer", 0, 2},
	{"busy-scheduler", busy_scheduler, -1, "scheduler", 1, "expert_mlp L1", "scheduler", 1, 1},
};

/* --- a run -------------------------------------------------------------------------------- */

static void start(struct setup *s, int nodes)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;

	real_pop = fsmoe_starpu_policy()->pop_task;
	fsmoe_starpu_policy()->pop_task = late_pop;
	TRY(fsmoe_model_spec_init(&spec, "tiny"));
	spec.forward_degree = spec.backward_degree = 2;
	fsmoe_train_opts_init(&opts);
	TRY(fsmoe_topo_create(&s->topo, NULL, nodes));
	TRY(fsmoe_groups_create(&s->groups, s->topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&s->rt, s->groups, NULL));
	TRY(fsmoe_step_create(&s->step, s->groups, fsmoe_model_as_forward(&spec), &opts));
	s->rank = fsmoe_topo_rank(s->topo);
}

static void run(struct setup *s, const struct delay *delay)
{
	delay->inject(s);
	TRY(fsmoe_memory_create(&s->memory, s->step.graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(s->memory, 1));
	TRY(fsmoe_program_create(&s->program, s->rt, s->step.graph, s->memory));
	TRY(fsmoe_runtime_record(s->rt, 1, NULL));
	for (uint64_t i = 1; i <= STEPS; i++)
	{
		armed = i == STEPS;
		if (armed && s->rank == delay->late_rank)
			late();
		TRY(fsmoe_program_submit(s->program, &(struct fsmoe_step){.step = i, .lr = 1e-3}));
		TRY(fsmoe_program_wait(s->program));
	}
}

static void write_run(struct setup *s, const char *dir)
{
	struct fsmoe_timeline *all;
	char path[4096];
	int ranks;
	FILE *f;

	TRY(fsmoe_program_observe_all(s->program, &all, &ranks));
	if (s->rank == 0)
	{
		struct fsmoe_track track[ranks];
		char name[ranks][32];

		for (int r = 0; r < ranks; r++)
		{
			snprintf(name[r], sizeof(name[r]), "rank %d", r);
			track[r] = (struct fsmoe_track){name[r], &all[r]};
		}
		mkdir(dir, 0777);
		snprintf(path, sizeof(path), "%s/timeline.json", dir);
		if (!(f = fopen(path, "w")))
			exit(1);
		TRY(fsmoe_timeline_write_perfetto(f, s->step.graph, track, ranks));
		fclose(f);
		snprintf(path, sizeof(path), "%s/metrics.jsonl", dir);
		if (!(f = fopen(path, "w")))
			exit(1);
		fputs("{\"step\": 3, \"loss\": 1}\n", f);
		fclose(f);
	}
	for (int r = 0; r < ranks; r++)
		fsmoe_timeline_destroy(&all[r]);
	free(all);
}

/* --- what the report says ------------------------------------------------------------------ */

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static double number(const json_t *array, size_t i)
{
	return json_number_value(json_array_get(array, i));
}

static int is_told(const struct delay *d, const json_t *path)
{
	json_t *told;
	size_t i;

	json_array_foreach(json_object_get(path, "delays"), i, told)
	{
		const double ms = 1e-3 * json_number_value(json_object_get(told, "us"));
		const int rank = (int)json_integer_value(json_object_get(told, "rank"));

		printf("  %s\n", text(told, "text"));
		if (!strcmp(text(told, "cause"), d->cause) && ms >= SEEN_MS &&
		    (d->rank < 0 || d->rank == rank) &&
		    !strncmp(text(told, "task"), d->task, strlen(d->task)))
			return 1;
	}
	printf("nothing says '%s' of rank %d, '%s'\n", d->cause, d->rank, d->task);
	return 0;
}

/* Checks the waits of a compute lane: those with the cause that are for that rank. */
static int is_waited(const struct delay *d, const json_t *timeline)
{
	const json_t *causes = json_object_get(timeline, "causes");
	double ms = 0;
	json_t *wait;
	size_t i;

	json_array_foreach(
		json_object_get(timeline, "waits"), i,
		wait) if (number(wait, 0) == d->waits_at && number(wait, 1) == 0 &&
			  number(wait, 5) == d->waits_on &&
			  !strcmp(text(json_array_get(causes, (size_t)number(wait, 4)), "name"),
				  d->wait)) ms += 1e-3 * (number(wait, 3) - number(wait, 2));
	if (ms < SEEN_MS)
		printf("rank %d waits %.1f ms for '%s' of rank %d\n", d->waits_at, ms, d->wait,
		       d->waits_on);
	return ms >= SEEN_MS;
}

static int check(const struct delay *d, const char *dir)
{
	struct fsmoe_report report;
	const json_t *timeline, *path;
	double span, length, unexplained;
	int good;

	TRY(fsmoe_report_open(&report, dir));
	timeline = json_object_get(report.root, "timeline");
	path = json_object_get(timeline, "path");
	span = json_number_value(json_object_get(timeline, "span_us"));
	length = json_number_value(json_object_get(path, "us"));
	unexplained = json_number_value(json_object_get(timeline, "unexplained_us"));
	printf("%s: a step of %.1f ms, critical path %.1f ms, unexplained %.2f ms\n", d->name,
	       1e-3 * span, 1e-3 * length, 1e-3 * unexplained);
	good = is_told(d, path) & is_waited(d, timeline);
	if (fabs(length - span) > 0.05 * span || unexplained > 0.02 * span)
		good = 0;
	fsmoe_report_close(&report);
	return good;
}

int main(int argc, char **argv)
{
	const struct delay *delay = NULL;
	struct setup s = {0};
	int good = 1;

	for (size_t i = 0; argc > 2 && i < sizeof(delays) / sizeof(delays[0]); i++)
		if (!strcmp(delays[i].name, argv[1]))
			delay = &delays[i];
	if (!delay)
		return fprintf(stderr, "usage: delays CAUSE FOLDER [NODES]\n"), 2;
	start(&s, argc > 3 ? atoi(argv[3]) : 0);
	run(&s, delay);
	write_run(&s, argv[2]);
	if (s.rank == 0)
		good = check(delay, argv[2]);
	fsmoe_program_destroy(s.program);
	fsmoe_memory_destroy(s.memory);
	fsmoe_step_destroy(&s.step);
	fsmoe_runtime_stop(s.rt);
	fsmoe_groups_destroy(s.groups);
	fsmoe_topo_destroy(s.topo);
	return !good;
}
