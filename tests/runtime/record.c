/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event recorder (any number of ranks; an argument: nodes to pretend). Recording changes no
 * bit; every task has been ready before it started; all ranks' times, on one clock, fit the
 * collectives: none ends before its last rank has entered it. The file holds what was observed,
 * and the Perfetto JSON of measured and predicted timelines is read back with jansson: one slice a
 * task, in order and without overlap on every thread.
 */
#include "comm/comm.h"
#include "step/step.h"
#include "tests/lib/random_graph.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <fsmoe/op.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
	STEPS = 3
};

static int bad;

#define EXPECT(condition, ...)                                                                     \
	do                                                                                         \
		if (!(condition))                                                                  \
		{                                                                                  \
			printf(__VA_ARGS__);                                                       \
			bad++;                                                                     \
		}                                                                                  \
	while (0)

struct setup
{
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	struct fsmoe_step_graph step;
	fsmoe_memory_t memory, other;
	fsmoe_program_t program, plain;
	int nnodes, ranks, rank;
	char folder[512];
};

/* --- times -------------------------------------------------------------------------------- */

static void check_ready(const struct setup *s, const struct fsmoe_timeline *tl, int rank)
{
	int noted = 0;

	for (int i = 0; i < s->nnodes; i++)
	{
		EXPECT(tl->submitted[i] <= tl->ready[i] && tl->ready[i] <= tl->start[i] &&
			       tl->start[i] <= tl->end[i],
		       "rank %d, node %d: submitted %g, ready %g, start %g, end %g\n", rank, i,
		       tl->submitted[i], tl->ready[i], tl->start[i], tl->end[i]);
		noted += tl->ready[i] < tl->start[i];
	}
	EXPECT(noted == s->nnodes, "rank %d: %d of %d nodes noted when they were ready\n", rank,
	       noted, s->nnodes);
}

/* A collective among all ends nowhere before everybody is in it. */
static void check_collectives(const struct setup *s, const struct fsmoe_timeline *tl)
{
	int n, checked = 0;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(s->step.graph, &n);

	for (int i = 0; i < n; i++)
	{
		double last_in = 0, first_out = INFINITY;

		if (!FSMOE_KIND_IS_COMM(nodes[i].op->kind) ||
		    nodes[i].op->group(nodes[i].args) != FSMOE_GROUP_WORLD)
			continue;
		for (int r = 0; r < s->ranks; r++)
		{
			last_in = fmax(last_in, tl[r].start[i]);
			first_out = fmin(first_out, tl[r].end[i]);
		}
		EXPECT(last_in <= first_out, "node %d: left at %g, entered at %g\n", i, first_out,
		       last_in);
		checked++;
	}
	EXPECT(checked > 0 || s->ranks == 1, "no collective among all was checked\n");
}

static void check_held(const struct setup *s, const struct fsmoe_timeline *tl)
{
	double *held = calloc((size_t)s->nnodes + 1, sizeof(*held)), lane[FSMOE_NLANES] = {0},
	       exposed;
	int n;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(s->step.graph, &n);

	TRY(fsmoe_timeline_held(tl, s->step.graph, held));
	for (int i = 0; i < n; i++)
	{
		EXPECT(held[i] >= tl->end[i] - tl->start[i] - 1e-12,
		       "node %d held its lane for less than it ran\n", i);
		lane[nodes[i].lane] += held[i];
	}
	for (int l = 0; l < FSMOE_NLANES; l++)
		EXPECT(lane[l] <= tl->makespan - fmin(tl->ready[0], 0) + 1e-9,
		       "lane %d was held for longer than the step took\n", l);
	TRY(fsmoe_timeline_exposed(tl, s->step.graph, &exposed));
	EXPECT(exposed >= 0 && exposed <= tl->busy[FSMOE_INTRA] + tl->busy[FSMOE_INTER] + 1e-9 &&
		       exposed + tl->busy[FSMOE_COMPUTE] <= tl->makespan + 1e-9 &&
		       (s->ranks > 1) == (exposed > 0),
	       "%g s of communication are exposed in %g s\n", exposed, tl->makespan);
	free(held);
}

/* --- the file ----------------------------------------------------------------------------- */

static void check_file(const struct setup *s, const struct fsmoe_timeline *tl)
{
	char path[600], *text;
	uint32_t head[2];
	uint64_t bytes, step = 0;
	size_t n = (size_t)s->nnodes, read = 0;
	double *all = calloc(4 * n + 1, sizeof(*all)), *times = all + n;
	json_t *nodes = NULL;
	FILE *f;

	snprintf(path, sizeof(path), "%s/rank-%d.events", s->folder, s->rank);
	f = fopen(path, "rb");
	EXPECT(f, "%s cannot be read\n", path);
	while (f && fread(head, sizeof(head), 1, f) == 1 && fread(&bytes, sizeof(bytes), 1, f) == 1)
	{
		text = malloc(bytes + 1);
		EXPECT(fread(text, 1, bytes, f) == bytes, "%s is cut off\n", path);
		if (head[0] == 2)
		{
			json_t *root = json_loadb(text, bytes, 0, NULL);

			nodes = json_incref(json_object_get(root, "nodes"));
			json_decref(root);
		}
		if (head[0] == 3)
		{
			EXPECT(bytes == 8 + 32 * n, "a step has %zu bytes\n", (size_t)bytes);
			memcpy(&step, text, 8);
			memcpy(all, text + 8, 32 * n);
			read++;
		}
		free(text);
	}
	EXPECT(json_array_size(nodes) == n && read == STEPS && step == STEPS,
	       "%s has %zu nodes, %zu steps, the last %d\n", path, json_array_size(nodes), read,
	       (int)step);
	/* Submitted, ready, start, end: the last step's, shifted by one number. */
	for (size_t i = 0; i < n; i++)
		EXPECT(fabs(all[i] - times[n] - (tl->submitted[i] - tl->start[0])) < 1e-6 &&
			       fabs(times[n + i] - times[n] - (tl->start[i] - tl->start[0])) <
				       1e-6 &&
			       fabs(times[2 * n + i] - times[n] - (tl->end[i] - tl->start[0])) <
				       1e-6 &&
			       fabs(times[i] - times[n] - (tl->ready[i] - tl->start[0])) < 1e-6,
		       "node %zu has other times in %s\n", i, path);
	json_decref(nodes);
	free(all);
	if (f)
		fclose(f);
}

/* --- Perfetto ----------------------------------------------------------------------------- */

static void check_slices(const struct setup *s, json_t *root, int tracks)
{
	const size_t places = (size_t)(tracks * FSMOE_NLANES);
	double *until = calloc(places, sizeof(*until));
	char *seen = calloc((size_t)(tracks * s->nnodes) + 1, 1);
	int slices = 0, names = 0;
	json_t *events = json_object_get(root, "traceEvents"), *e;
	size_t i;

	json_array_foreach(events, i, e)
	{
		const int pid = (int)json_integer_value(json_object_get(e, "pid")),
			  tid = (int)json_integer_value(json_object_get(e, "tid"));
		const double ts = json_number_value(json_object_get(e, "ts")),
			     dur = json_number_value(json_object_get(e, "dur"));
		const int node = (int)json_integer_value(
			json_object_get(json_object_get(e, "args"), "node"));

		names += !strcmp(json_string_value(json_object_get(e, "name")), "process_name");
		if (strcmp(json_string_value(json_object_get(e, "ph")), "X"))
			continue;
		slices++;
		EXPECT(pid >= 0 && pid < tracks && tid >= 0 && tid < FSMOE_NLANES && dur >= 0,
		       "slice %zu is on no track\n", i);
		EXPECT(ts >= until[pid * FSMOE_NLANES + tid] - 1e-6,
		       "slice %zu begins at %.3f, before %.3f\n", i, ts,
		       until[pid * FSMOE_NLANES + tid]);
		until[pid * FSMOE_NLANES + tid] = ts + dur;
		EXPECT(!seen[pid * s->nnodes + node]++, "node %d has two slices\n", node);
	}
	EXPECT(slices == tracks * s->nnodes && names == tracks,
	       "%d slices for %d tracks of %d nodes\n", slices, tracks, s->nnodes);
	free(until);
	free(seen);
}

/* A slice waits for the predecessors in the graph, which had ended when the slice was ready. Groups
 * have every rank once. */
static void check_edges(const struct setup *s, json_t *root, const struct fsmoe_timeline *tl)
{
	json_t *graph = json_object_get(root, "fsmoe"), *nodes = json_object_get(graph, "nodes"),
	       *groups, *group;
	int *first, *pred;
	const char *kind;
	size_t i;

	TRY(fsmoe_graph_edges(s->step.graph, &first, &pred));
	EXPECT((int)json_array_size(nodes) == s->nnodes, "%zu nodes\n", json_array_size(nodes));
	for (int n = 0; n < s->nnodes; n++)
	{
		const json_t *node = json_array_get(nodes, (size_t)n),
			     *after = json_object_get(node, "after"),
			     *of = json_object_get(node, "group");

		EXPECT((int)json_array_size(after) == first[n + 1] - first[n],
		       "node %d has %zu edges\n", n, json_array_size(after));
		for (int k = first[n]; k < first[n + 1]; k++)
		{
			EXPECT(json_integer_value(json_array_get(after, (size_t)(k - first[n]))) ==
				       pred[k],
			       "node %d waits for another than %d\n", n, pred[k]);
			for (int r = 0; r < s->ranks; r++)
				EXPECT(tl[r].end[pred[k]] <= tl[r].ready[n] + 1e-9,
				       "rank %d, node %d was ready before node %d had ended\n", r,
				       n, pred[k]);
		}
		EXPECT(!of || json_object_get(json_object_get(graph, "groups"),
					      json_string_value(of)),
		       "node %d has an unknown group\n", n);
	}
	json_object_foreach(json_object_get(graph, "groups"), kind, groups)
	{
		size_t ranks = 0;

		json_array_foreach(groups, i, group) ranks += json_array_size(group);
		EXPECT((int)ranks == s->ranks, "groups of kind %s have %zu ranks\n", kind, ranks);
	}
	free(first);
	free(pred);
}

static void check_perfetto(const struct setup *s, const struct fsmoe_timeline *tl)
{
	struct fsmoe_track track[s->ranks + 1];
	struct fsmoe_timeline predicted, wrong = {0};
	struct fsmoe_fit fit = {.alpha = 1e-5, .beta = 1e-10};
	fsmoe_profile_t profile;
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	json_t *root;

	TRY(fsmoe_profile_create(&profile));
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
			if (FSMOE_KIND_IS_COMM(kind) == (lane != FSMOE_COMPUTE))
				TRY(fsmoe_profile_set(profile, (enum fsmoe_kind)kind,
						      (enum fsmoe_lane)lane, &fit));
	TRY(fsmoe_profile_simulate(profile, s->step.graph, &predicted));
	for (int r = 0; r < s->ranks; r++)
		track[r] = (struct fsmoe_track){"a \"rank\"", &tl[r]};
	track[s->ranks] = (struct fsmoe_track){"predicted", &predicted};
	TRY(fsmoe_timeline_write_perfetto(f, s->step.graph, track, s->ranks + 1));
	fclose(f);
	root = json_loads(text, 0, NULL);
	EXPECT(root, "what was written is no JSON\n");
	if (root)
	{
		check_slices(s, root, s->ranks + 1);
		check_edges(s, root, tl);
		/* Ten steps of the default run have some thirty thousand slices, and 20 MB. */
		EXPECT(size < 600 * (size_t)s->nnodes + 250 * (size_t)(s->nnodes * (s->ranks + 1)),
		       "%zu bytes for %d tracks of %d nodes\n", size, s->ranks + 1, s->nnodes);
	}
	json_decref(root);
	track[0].timeline = &wrong;
	EXPECT(fsmoe_timeline_write_perfetto(stderr, s->step.graph, track, 1) < 0,
	       "a timeline of another graph was written\n");
	free(text);
	fsmoe_timeline_destroy(&predicted);
	fsmoe_profile_destroy(profile);
}

/* --- all of it ---------------------------------------------------------------------------- */

static void run(fsmoe_program_t program)
{
	for (uint64_t i = 1; i <= STEPS; i++)
	{
		TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = i, .lr = 1e-3}));
		TRY(fsmoe_program_wait(program));
	}
}

static void start(struct setup *s, int nodes)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	const char *tmp = getenv("TMPDIR");

	TRY(fsmoe_model_spec_init(&spec, "tiny"));
	spec.forward_degree = spec.backward_degree = 2;
	fsmoe_train_opts_init(&opts);
	TRY(fsmoe_topo_create(&s->topo, NULL, nodes));
	TRY(fsmoe_groups_create(&s->groups, s->topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&s->rt, s->groups, NULL));
	TRY(fsmoe_step_create(&s->step, s->groups, fsmoe_model_as_forward(&spec), &opts));
	TRY(fsmoe_memory_create(&s->memory, s->step.graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_create(&s->other, s->step.graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(s->memory, 1));
	TRY(fsmoe_memory_init_params(s->other, 1));
	TRY(fsmoe_program_create(&s->program, s->rt, s->step.graph, s->memory));
	TRY(fsmoe_program_create(&s->plain, s->rt, s->step.graph, s->other));
	fsmoe_graph_nodes(s->step.graph, &s->nnodes);
	s->ranks = fsmoe_topo_ranks(s->topo);
	s->rank = fsmoe_topo_rank(s->topo);
	snprintf(s->folder, sizeof(s->folder), "%s/events-%d", tmp ? tmp : "/tmp", s->ranks);
}

static void stop(struct setup *s)
{
	fsmoe_program_destroy(s->program);
	fsmoe_program_destroy(s->plain);
	fsmoe_memory_destroy(s->memory);
	fsmoe_memory_destroy(s->other);
	fsmoe_step_destroy(&s->step);
	fsmoe_runtime_stop(s->rt);
	fsmoe_groups_destroy(s->groups);
	fsmoe_topo_destroy(s->topo);
}

static void compare_memory(const struct setup *s)
{
	int n;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(s->step.graph, &n);

	for (int i = 0; i < n; i++)
		EXPECT(!memcmp(fsmoe_memory_data(s->memory, i), fsmoe_memory_data(s->other, i),
			       fsmoe_shape_count(&t[i].shape) * sizeof(float)),
		       "recording changed '%s'\n", t[i].name);
}

int main(int argc, char **argv)
{
	struct setup s = {0};
	struct fsmoe_timeline mine, *all = NULL;
	double offset = 1, error = 1;
	int ranks;

	start(&s, argc > 1 ? atoi(argv[1]) : 0);
	run(s.plain);
	TRY(fsmoe_program_observe(s.plain, &mine));
	for (int i = 0; i < s.nnodes; i++)
		EXPECT(mine.ready[i] == mine.start[i], "recording is on by itself\n");
	fsmoe_timeline_destroy(&mine);

	TRY(fsmoe_runtime_record(s.rt, 1, s.folder));
	run(s.program);
	TRY(fsmoe_runtime_record(s.rt, 0, NULL));
	compare_memory(&s);
	TRY(fsmoe_program_observe(s.program, &mine));
	TRY(fsmoe_program_observe_all(s.program, &all, &ranks));
	TRY(fsmoe_runtime_clock(s.rt, &offset, &error));
	EXPECT(offset == 0 && error == 0, "ranks of one host have clocks %g apart\n", offset);
	EXPECT(ranks == s.ranks, "times of %d ranks\n", ranks);
	for (int r = 0; r < ranks; r++)
		check_ready(&s, &all[r], r);
	EXPECT(!timeline_breaks_order(s.step.graph, &mine), "the order is broken\n");
	check_collectives(&s, all);
	check_held(&s, &mine);
	check_file(&s, &mine);
	check_perfetto(&s, all);
	if (s.rank == 0)
		printf("%d nodes on %d ranks: %d wrong\n", s.nnodes, ranks, bad);
	for (int r = 0; r < ranks; r++)
		fsmoe_timeline_destroy(&all[r]);
	free(all);
	fsmoe_timeline_destroy(&mine);
	stop(&s);
	return bad ? 1 : 0;
}
