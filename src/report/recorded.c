/* SPDX-License-Identifier: Apache-2.0 */
#include "report/recorded.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- reading ------------------------------------------------------------------------------ */

static int integer(const json_t *object, const char *key, int otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? (int)json_integer_value(value) : otherwise;
}

static double real(const json_t *object, const char *key, double otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : otherwise;
}

/* Nodes wait for lesser ones, so nothing that follows edges goes round. */
static int read_node(struct recorded_node *node, int number, const json_t *json,
		     const json_t *groups)
{
	size_t i;
	json_t *before;

	*node = (struct recorded_node){.op = json_string_value(json_object_get(json, "op")),
				       .group = json_string_value(json_object_get(json, "group")),
				       .after = json_object_get(json, "after"),
				       .layer = integer(json, "layer", -1),
				       .micro_batch = integer(json, "microbatch", -1),
				       .chunk = integer(json, "chunk", -1),
				       .gradients =
					       json_is_true(json_object_get(json, "gradients")),
				       .work = real(json, "work", 0)};
	if (node->group)
		node->groups = json_object_get(groups, node->group);
	if (!node->op || !json_is_array(node->after) ||
	    (node->group && !json_is_array(node->groups)))
		return -EPROTO;
	json_array_foreach(node->after, i, before)
	{
		if (!json_is_integer(before) || json_integer_value(before) < 0 ||
		    json_integer_value(before) >= number)
			return -EPROTO;
	}
	return 0;
}

static int read_nodes(struct recorded *step, const json_t *graph)
{
	const json_t *nodes = json_object_get(graph, "nodes"),
		     *groups = json_object_get(graph, "groups");
	int err = json_is_array(nodes) && json_is_object(groups) ? 0 : -EPROTO;

	step->nnodes = (int)json_array_size(nodes);
	step->node = calloc((size_t)step->nnodes + 1, sizeof(*step->node));
	if (!step->node)
		return -ENOMEM;
	for (int i = 0; i < step->nnodes && !err; i++)
		err = read_node(&step->node[i], i, json_array_get(nodes, (size_t)i), groups);
	return err;
}

static int kind_of(struct recorded *step, const char *name)
{
	int k;

	for (k = 0; k < step->nkinds; k++)
		if (!strcmp(step->kind[k], name))
			return k;
	if (step->nkinds == RECORDED_KINDS)
		return -1;
	step->kind[step->nkinds] = name;
	return step->nkinds++;
}

static struct recorded_track *track_of(struct recorded *step, json_int_t pid)
{
	if (pid < 0 || pid > 4096)
		return NULL;
	while (step->n <= pid)
	{
		struct recorded_track *fresh;

		if (step->n == step->room)
		{
			const int room = step->room ? 2 * step->room : 8;

			fresh = realloc(step->track, (size_t)room * sizeof(*fresh));
			if (!fresh)
				return NULL;
			step->track = fresh;
			step->room = room;
		}
		fresh = &step->track[step->n++];
		*fresh = (struct recorded_track){
			.name = "",
			.slice = calloc((size_t)step->nnodes + 1, sizeof(*fresh->slice)),
			.at = malloc(((size_t)step->nnodes + 1) * sizeof(*fresh->at))};
		for (int i = 0; fresh->at && i < step->nnodes; i++)
			fresh->at[i] = -1;
		if (!fresh->at || !fresh->slice)
			return NULL;
	}
	return &step->track[pid];
}

static int add_slice(struct recorded *step, struct recorded_track *track, const json_t *event)
{
	const json_t *args = json_object_get(event, "args");
	const char *kind = json_string_value(json_object_get(event, "cat"));
	const double start = real(event, "ts", NAN), length = real(event, "dur", NAN);
	struct recorded_slice *s = &track->slice[track->n];

	*s = (struct recorded_slice){.start = start,
				     .end = start + length,
				     .ready = fmin(real(args, "ready", start), start),
				     .submitted = real(args, "submitted", NAN),
				     .node = integer(args, "node", -1),
				     .lane = integer(event, "tid", -1),
				     .before = -1,
				     .name = json_object_get(event, "name")};
	if (!isfinite(s->end) || length < 0 || !kind || s->lane < 0 || s->lane >= RECORDED_LANES ||
	    s->node < 0 || s->node >= step->nnodes || track->at[s->node] >= 0 ||
	    !json_is_string(s->name) || (s->kind = kind_of(step, kind)) < 0)
		return -EPROTO;
	if (step->node[s->node].group)
		step->communicates[s->kind] = 1;
	step->node[s->node].phase = json_string_value(json_object_get(args, "phase"));
	track->at[s->node] = track->n++;
	return 0;
}

static int read_events(struct recorded *step, const json_t *events)
{
	size_t i;
	json_t *event;

	if (!json_is_array(events))
		return -EPROTO;
	json_array_foreach(events, i, event)
	{
		const char *ph = json_string_value(json_object_get(event, "ph"));
		const char *what = json_string_value(json_object_get(event, "name"));
		const char *name =
			json_string_value(json_object_get(json_object_get(event, "args"), "name"));
		struct recorded_track *track =
			track_of(step, json_integer_value(json_object_get(event, "pid")));

		if (!ph || !what || !track)
			return -EPROTO;
		if (!strcmp(ph, "X") && add_slice(step, track, event))
			return -EPROTO;
		if (!strcmp(ph, "M") && !strcmp(what, "process_name") && name)
			track->name = name;
	}
	return 0;
}

/* --- what follows from it ----------------------------------------------------------------- */

static int by_start(const void *a, const void *b)
{
	const struct recorded_slice *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end != y->end ? (x->end < y->end ? -1 : 1) : x->node - y->node;
}

static void sort_track(struct recorded_track *track)
{
	int last[RECORDED_LANES] = {-1, -1, -1};

	qsort(track->slice, (size_t)track->n, sizeof(*track->slice), by_start);
	for (int i = 0; i < track->n; i++)
	{
		struct recorded_slice *s = &track->slice[i];
		int *of_lane = &last[s->lane];

		track->at[s->node] = i;
		s->before = *of_lane;
		if (*of_lane < 0 || s->end >= track->slice[*of_lane].end)
			*of_lane = i;
	}
}

/* Ranks are those before the first prediction. */
static int find_span(struct recorded *step)
{
	step->from = INFINITY;
	step->to = -INFINITY;
	while (step->ranks < step->n && strcmp(step->track[step->ranks].name, "predicted"))
		step->ranks++;
	for (int r = 0; r < step->ranks; r++)
		for (int i = 0; i < step->track[r].n; i++)
		{
			step->from = fmin(step->from, step->track[r].slice[i].start);
			step->to = fmax(step->to, step->track[r].slice[i].end);
		}
	return isfinite(step->to) ? 0 : -EPROTO;
}

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int fsmoe_recorded_alike(const struct recorded_node *a, const struct recorded_node *b)
{
	return a->work == b->work && !strcmp(a->op, b->op) &&
	       !strcmp(a->phase ? a->phase : "", b->phase ? b->phase : "");
}

/* How long the nodes like this one took, on all ranks; NaN where they are too few to tell. */
static double usual(const struct recorded *step, int node, double *sample)
{
	enum
	{
		ENOUGH = 3 /* nodes: of fewer one that was held up is half of them */
	};
	const struct recorded_slice *s;
	int n = 0, nodes = 0;

	for (int i = 0; i < step->nnodes; i++)
	{
		const int before = n;

		for (int r = 0;
		     r < step->ranks && fsmoe_recorded_alike(&step->node[i], &step->node[node]);
		     r++)
			if ((s = fsmoe_recorded_slice(step, r, i)))
			{
				int last;
				sample[n++] =
					s->end - fsmoe_recorded_arrival(step, r, s, s->end, &last);
			}
		nodes += n > before;
	}
	if (nodes < ENOUGH && (n == 0 || step->ranks < step->n))
		return NAN;
	qsort(sample, (size_t)n, sizeof(*sample), ascending);
	return sample[(n - 1) / 2];
}

/* By their like; where there are not enough of them, by the prediction. */
static int find_expected(struct recorded *step)
{
	const size_t most = (size_t)step->nnodes * (size_t)step->ranks;
	double *sample = malloc((most + 1) * sizeof(*sample));

	if (!sample)
		return -ENOMEM;
	for (int i = 0; i < step->nnodes; i++)
		step->node[i].expected = -1;
	for (int i = 0; i < step->nnodes; i++)
	{
		const struct recorded_slice *predicted =
			step->ranks < step->n ? fsmoe_recorded_slice(step, step->ranks, i) : NULL;
		double value;

		if (step->node[i].expected >= 0)
			continue;
		value = usual(step, i, sample);
		if (isnan(value))
			value = predicted ? predicted->end - predicted->start : 0;
		for (int k = i; k < step->nnodes; k++)
			if (fsmoe_recorded_alike(&step->node[k], &step->node[i]))
				step->node[k].expected = value;
	}
	free(sample);
	return 0;
}

int fsmoe_recorded_read(struct recorded *step, const json_t *json)
{
	int err;

	*step = (struct recorded){0};
	err = read_nodes(step, json_object_get(json, "fsmoe"));
	if (!err)
		err = read_events(step, json_object_get(json, "traceEvents"));
	for (int t = 0; t < step->n && !err; t++)
		sort_track(&step->track[t]);
	if (!err)
		err = find_span(step);
	return err ? err : find_expected(step);
}

void fsmoe_recorded_free(struct recorded *step)
{
	for (int t = 0; t < step->n; t++)
	{
		free(step->track[t].slice);
		free(step->track[t].at);
	}
	free(step->track);
	free(step->node);
	*step = (struct recorded){0};
}

/* --- asking ------------------------------------------------------------------------------- */

const struct recorded_slice *fsmoe_recorded_slice(const struct recorded *step, int rank, int node)
{
	const struct recorded_track *track = &step->track[rank];

	return track->at[node] < 0 ? NULL : &track->slice[track->at[node]];
}

const struct recorded_slice *fsmoe_recorded_before(const struct recorded *step, int rank,
						   const struct recorded_slice *slice)
{
	return slice->before < 0 ? NULL : &step->track[rank].slice[slice->before];
}

const struct recorded_slice *fsmoe_recorded_need(const struct recorded *step, int rank,
						 const struct recorded_slice *slice)
{
	const struct recorded_slice *latest = NULL;
	size_t i;
	json_t *number;

	json_array_foreach(step->node[slice->node].after, i, number)
	{
		const struct recorded_slice *s =
			fsmoe_recorded_slice(step, rank, (int)json_integer_value(number));

		if (s && (!latest || s->end > latest->end))
			latest = s;
	}
	return latest;
}

static int is_member(const json_t *group, int rank)
{
	for (size_t i = 0; i < json_array_size(group); i++)
		if (json_integer_value(json_array_get(group, i)) == rank)
			return 1;
	return 0;
}

double fsmoe_recorded_arrival(const struct recorded *step, int rank,
			      const struct recorded_slice *slice, double until, int *last)
{
	const struct recorded_node *node = &step->node[slice->node];
	double arrival = slice->start;
	const json_t *group = NULL;

	*last = rank;
	for (size_t i = 0; i < json_array_size(node->groups) && !group; i++)
		if (is_member(json_array_get(node->groups, i), rank))
			group = json_array_get(node->groups, i);
	for (size_t i = 0; i < json_array_size(group); i++)
	{
		const json_int_t other = json_integer_value(json_array_get(group, i));
		const struct recorded_slice *s =
			other >= 0 && other < step->ranks
				? fsmoe_recorded_slice(step, (int)other, slice->node)
				: NULL;

		if (!s || s->start <= arrival || s->start > until)
			continue;
		arrival = s->start;
		*last = (int)other;
	}
	return arrival;
}

double fsmoe_recorded_began(const struct recorded *step, int rank)
{
	double began = INFINITY;

	for (int i = 0; i < step->track[rank].n; i++)
		began = fmin(began, step->track[rank].slice[i].submitted); /* NaN is passed over */
	return isfinite(began) ? fmax(began, step->from) : step->from;
}

const char *fsmoe_recorded_name(const struct recorded_slice *slice)
{
	return json_string_value(slice->name);
}

void fsmoe_recorded_increase(json_t *object, const char *key, double us)
{
	if (us > 0)
		json_object_set_new(
			object, key,
			json_real(json_number_value(json_object_get(object, key)) + us));
}
