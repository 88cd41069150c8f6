/* SPDX-License-Identifier: Apache-2.0 */
#include "report/recorded.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The critical path: from the step's last end back to its first start, always to what was waited
 * for last. A communication counts from when its last rank came, and the path goes on on that rank.
 * Its segments are tasks and the measured edges between them, one after the other, so that nothing
 * off the path can make the step shorter; and what a segment took more than is usual is what held
 * the step up.
 */
enum what /* a segment is a task, or one of these on the way to it */
{
	RAN,
	STARTED,
	RELEASED,
	SUBMITTED,
	BEGAN,
	NWHAT
};

/* What it is called when it takes longer than it should; of tasks two names. */
static const struct
{
	enum wait_cause cause;
	const char *name, *text;
} delays[NWHAT] = {
	[RAN] = {WAIT_DEPENDENCY, "slow task", "took"},
	[STARTED] = {WAIT_SCHEDULER, "scheduler", "was ready, but the scheduler started it after"},
	[RELEASED] = {WAIT_OVERHEAD, "overhead",
		      "had all it needed, but StarPU said so only after"},
	[SUBMITTED] = {WAIT_SUBMISSION, "submission", "could have run, but was submitted after"},
	[BEGAN] = {WAIT_PEER, "late peer", "was its first task: the rank began its step late by"},
};

struct segment
{
	enum what what;
	int rank, node, kind;
	double from, to, expected;
	const char *name;
};

struct path
{
	const struct recorded *step;
	struct segment *segment;
	int n, room;
};

/* Segments come from the end: *to is where the last one began. */
static void add(struct path *p, enum what what, int rank, const struct recorded_slice *s,
		double from, double *to)
{
	const struct recorded_node *node = &p->step->node[s->node];

	from = fmax(from, p->step->from);
	if (from >= *to || p->n == p->room)
		return;
	p->segment[p->n++] = (struct segment){.what = what,
					      .rank = rank,
					      .node = s->node,
					      .kind = s->kind,
					      .from = from,
					      .to = *to,
					      .expected = what == RAN ? node->expected : 0,
					      .name = fsmoe_recorded_name(s)};
	*to = from;
}

static const struct recorded_slice *last_end(const struct recorded *step, int *rank)
{
	const struct recorded_slice *last = NULL;

	for (int r = 0; r < step->ranks; r++)
		for (int i = 0; i < step->track[r].n; i++)
			if (!last || step->track[r].slice[i].end > last->end)
			{
				last = &step->track[r].slice[i];
				*rank = r;
			}
	return last;
}

/* What happened between the end of what a slice waited for last and its start; returns that. */
static const struct recorded_slice *step_back(struct path *p, int rank,
					      const struct recorded_slice *s, double *to)
{
	const struct recorded *step = p->step;
	const struct recorded_slice *before = fsmoe_recorded_before(step, rank, s),
				    *need = fsmoe_recorded_need(step, rank, s);
	const int noted = s->ready < s->start;
	double there;

	/* Where nobody noted when it was ready, what ended last is what it waited for. */
	if (!noted && before && (!need || need->end < before->end))
		need = before;
	there = need ? need->end : step->from;
	if (noted && before && before->end > s->ready)
	{
		add(p, STARTED, rank, s, before->end, to);
		return before;
	}
	if (noted)
		add(p, STARTED, rank, s, s->ready, to);
	if (isnan(s->submitted) || s->submitted <= there)
	{
		add(p, RELEASED, rank, s, there, to);
		return need;
	}
	add(p, RELEASED, rank, s, s->submitted, to);
	add(p, SUBMITTED, rank, s, fmax(there, fsmoe_recorded_began(step, rank)), to);
	if (there >= fsmoe_recorded_began(step, rank))
		return need;
	add(p, BEGAN, rank, s, step->from, to);
	return NULL;
}

static void walk(struct path *p)
{
	int rank = 0;
	const struct recorded_slice *s = last_end(p->step, &rank);
	double to = p->step->to;

	while (s && to > p->step->from && p->n < p->room)
	{
		int last = rank;
		const double arrival = fsmoe_recorded_arrival(p->step, rank, s, to, &last);

		add(p, RAN, rank, s, arrival, &to);
		rank = last;
		s = fsmoe_recorded_slice(p->step, rank, s->node);
		to = fmin(to, s->start);
		s = step_back(p, rank, s, &to);
	}
}

/* --- as JSON ------------------------------------------------------------------------------ */

static double excess(const struct segment *s)
{
	return s->to - s->from - s->expected;
}

static int worst_first(const void *a, const void *b)
{
	const double x = excess(a), y = excess(b);

	return x > y ? -1 : x < y;
}

static json_t *delay_json(const struct path *p, const struct segment *s)
{
	const int link = s->what == RAN && p->step->communicates[s->kind];
	const char *cause = link ? fsmoe_wait_causes[WAIT_LINK].name : delays[s->what].name;
	char text[256], usual[64] = "";

	if (s->what == RAN)
		snprintf(usual, sizeof(usual), "%s; %.3g ms is usual",
			 link ? " when all had come" : "", 1e-3 * s->expected);
	snprintf(text, sizeof(text), "%s: rank %d, %s %s %.3g ms%s", cause, s->rank, s->name,
		 delays[s->what].text, 1e-3 * (s->to - s->from), usual);
	return json_pack("{s:s, s:i, s:s, s:i, s:f, s:s}", "cause", cause, "rank", s->rank, "task",
			 s->name, "layer", p->step->node[s->node].layer, "us", excess(s), "text",
			 text);
}

/* What held the step up most: of the path's segments the longest beyond the usual. */
static json_t *delays_json(const struct path *p)
{
	enum
	{
		SHOWN = 8
	};
	struct segment *sorted = malloc(((size_t)p->n + 1) * sizeof(*sorted));
	json_t *list = json_array();

	if (sorted)
	{
		memcpy(sorted, p->segment, (size_t)p->n * sizeof(*sorted));
		qsort(sorted, (size_t)p->n, sizeof(*sorted), worst_first);
	}
	for (int i = 0; sorted && i < p->n && i < SHOWN; i++)
		if (excess(&sorted[i]) > 0.01 * (p->step->to - p->step->from))
			json_array_append_new(list, delay_json(p, &sorted[i]));
	free(sorted);
	return list;
}

/* {"us": length, "tasks": {kind: us}, "edges": {cause: us}, "segments": [[rank, from, to, cause or
 * -1 of a task, name], ...] from the first, "delays": [...]}. */
json_t *fsmoe_recorded_path(const struct recorded *step)
{
	struct path p = {.step = step};
	json_t *tasks = json_object(), *edges = json_object(), *segments = json_array(), *all;
	double length = 0;

	/* A task, and at most four edges before it. */
	for (int r = 0; r < step->ranks; r++)
		p.room += 5 * step->track[r].n;
	p.segment = calloc((size_t)p.room + 1, sizeof(*p.segment));
	if (p.segment)
		walk(&p);
	for (int i = p.n - 1; i >= 0; i--)
	{
		const struct segment *s = &p.segment[i];
		const double us = s->to - s->from;

		length += us;
		if (s->what == RAN)
			fsmoe_recorded_increase(tasks, step->kind[s->kind], us);
		else
			fsmoe_recorded_increase(edges, delays[s->what].name, us);
		json_array_append_new(segments,
				      json_pack("[i, f, f, i, s]", s->rank, s->from - step->from,
						s->to - step->from,
						s->what == RAN ? -1 : (int)delays[s->what].cause,
						s->name));
	}
	all = json_pack("{s:f, s:o, s:o, s:o, s:o}", "us", length, "tasks", tasks, "edges", edges,
			"segments", segments, "delays", delays_json(&p));
	free(p.segment);
	return all;
}
