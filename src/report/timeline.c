/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * A recorded step, from the timelines that fsmoe train --timeline writes: what each rank's time was
 * spent on, and each kind of task measured beside predicted.
 *
 * Every moment of a rank, from the first start of any rank to the last end of any, counts once:
 *
 *	a kind      the compute lane runs a task of this kind
 *	a kind      it does not, but a communication of this kind runs: exposed. Between nodes
 *	            counts before inside a node
 *	"started"   nothing runs, though a task is ready: it is being chosen and started
 *	"waiting"   nothing runs and nothing is ready: submission, or the step's ends, where this
 *	            rank has not begun or is done and others are not
 */
enum
{
	LANES = 3, /* compute, intra, inter */
	MOST_KINDS = 32
};

struct slice
{
	double start, end, ready; /* us */
	int lane, kind;
	const json_t *name, *phase;
};

struct track
{
	const char *name;
	struct slice *slice;
	int n;
};

struct timeline
{
	struct track *track;
	int n, room;
	const char *kind[MOST_KINDS];
	int nkinds;
	double from, to; /* us, of what was measured */
};

static int is_predicted(const struct track *track)
{
	return !strcmp(track->name, "predicted");
}

static int kind_of(struct timeline *tl, const char *name)
{
	int k;

	for (k = 0; k < tl->nkinds; k++)
		if (!strcmp(tl->kind[k], name))
			return k;
	if (tl->nkinds == MOST_KINDS)
		return -1;
	tl->kind[tl->nkinds] = name;
	return tl->nkinds++;
}

static int add_slice(struct timeline *tl, struct track *track, const json_t *event)
{
	const json_t *args = json_object_get(event, "args"), *ts = json_object_get(event, "ts"),
		     *dur = json_object_get(event, "dur"), *lane = json_object_get(event, "tid"),
		     *ready = json_object_get(args, "ready");
	const char *kind = json_string_value(json_object_get(event, "cat"));
	struct slice *more, *s;

	if (!json_is_number(ts) || !json_is_number(dur) || !json_is_integer(lane) || !kind ||
	    json_integer_value(lane) < 0 || json_integer_value(lane) >= LANES ||
	    !json_is_string(json_object_get(event, "name")))
		return -EPROTO;
	more = realloc(track->slice, ((size_t)track->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	track->slice = more;
	s = &track->slice[track->n++];
	*s = (struct slice){.start = json_number_value(ts),
			    .lane = (int)json_integer_value(lane),
			    .kind = kind_of(tl, kind),
			    .name = json_object_get(event, "name"),
			    .phase = json_object_get(args, "phase")};
	s->end = s->start + json_number_value(dur);
	s->ready = json_is_number(ready) ? json_number_value(ready) : s->start;
	return s->kind < 0 ? -EPROTO : 0;
}

static struct track *track_of(struct timeline *tl, json_int_t pid)
{
	if (pid < 0 || pid > 4096)
		return NULL;
	while (tl->n <= pid)
	{
		if (tl->n == tl->room)
		{
			const int room = tl->room ? 2 * tl->room : 8;
			struct track *more = realloc(tl->track, (size_t)room * sizeof(*more));
			if (!more)
				return NULL;
			tl->track = more;
			tl->room = room;
		}
		tl->track[tl->n++] = (struct track){.name = ""};
	}
	return &tl->track[pid];
}

static int read_events(struct timeline *tl, const json_t *events)
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
		struct track *track =
			track_of(tl, json_integer_value(json_object_get(event, "pid")));

		if (!ph || !what || !track)
			return -EPROTO;
		if (!strcmp(ph, "X") && add_slice(tl, track, event))
			return -EPROTO;
		if (!strcmp(ph, "M") && !strcmp(what, "process_name") && name)
			track->name = name;
	}
	return 0;
}

static void find_span(struct timeline *tl)
{
	tl->from = INFINITY;
	tl->to = -INFINITY;
	for (int t = 0; t < tl->n; t++)
		for (int i = 0; i < tl->track[t].n && !is_predicted(&tl->track[t]); i++)
		{
			tl->from = fmin(tl->from, tl->track[t].slice[i].start);
			tl->to = fmax(tl->to, tl->track[t].slice[i].end);
		}
}

/* A task becomes ready, starts, ends: what then runs and what is ready changes. */
struct change
{
	double when;
	const struct slice *slice;
	int running, ready; /* +1, -1 */
};

struct state
{
	int running[LANES][MOST_KINDS], ready;
};

/* What a moment counts as: a kind, or these. */
enum
{
	STARTED = MOST_KINDS,
	WAITING,
	NCAUSES
};

static int by_time(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	return x->when < y->when ? -1 : x->when > y->when;
}

static int cause(const struct state *state)
{
	static const int order[LANES] = {0, 2, 1};

	for (int l = 0; l < LANES; l++)
		for (int k = 0; k < MOST_KINDS; k++)
			if (state->running[order[l]][k] > 0)
				return k;
	return state->ready > 0 ? STARTED : WAITING;
}

static void add_up(const struct timeline *tl, const struct track *track, double us[NCAUSES])
{
	struct change *change = malloc((3 * (size_t)track->n + 1) * sizeof(*change));
	struct state state = {0};
	double last = tl->from;
	int n = 0;

	for (int i = 0; change && i < track->n; i++)
	{
		const struct slice *s = &track->slice[i];
		change[n++] = (struct change){fmin(s->ready, s->start), s, 0, 1};
		change[n++] = (struct change){s->start, s, 1, -1};
		change[n++] = (struct change){s->end, s, -1, 0};
	}
	if (change)
		qsort(change, (size_t)n, sizeof(*change), by_time);
	for (int i = 0; i < n; i++)
	{
		const struct change *c = &change[i];

		if (c->when > last)
		{
			us[cause(&state)] += c->when - last;
			last = c->when;
		}
		state.running[c->slice->lane][c->slice->kind] += c->running;
		state.ready += c->ready;
	}
	us[WAITING] += tl->to - last;
	free(change);
}

/* {"track": name, "compute": {kind: us}, "exposed": {kind: us}, "started": us, "waiting": us} */
static json_t *split(const struct timeline *tl, const struct track *track)
{
	double us[NCAUSES] = {0};
	json_t *compute = json_object(), *exposed = json_object();
	int communicates[MOST_KINDS] = {0};

	add_up(tl, track, us);
	for (int i = 0; i < track->n; i++)
		communicates[track->slice[i].kind] |= track->slice[i].lane > 0;
	for (int k = 0; k < tl->nkinds; k++)
		if (us[k] > 0)
			json_object_set_new(communicates[k] ? exposed : compute, tl->kind[k],
					    json_real(us[k]));
	return json_pack("{s:s, s:o, s:o, s:f, s:f}", "track", track->name, "compute", compute,
			 "exposed", exposed, "started", us[STARTED], "waiting", us[WAITING]);
}

/* {"kind", "tasks", "measured_us" (mean over ranks), "predicted_us" (null: none)} */
static json_t *kind_row(const struct timeline *tl, int kind)
{
	double measured = 0, predicted = 0;
	int ranks = 0, tasks = 0, foretold = 0;

	for (int t = 0; t < tl->n; t++)
	{
		const struct track *track = &tl->track[t];
		double sum = 0;
		int n = 0;

		for (int i = 0; i < track->n; i++)
			if (track->slice[i].kind == kind)
			{
				sum += track->slice[i].end - track->slice[i].start;
				n++;
			}
		if (is_predicted(track))
		{
			predicted = sum;
			foretold = 1;
			continue;
		}
		measured += sum;
		tasks = n > tasks ? n : tasks;
		ranks++;
	}
	return json_pack("{s:s, s:i, s:f, s:o}", "kind", tl->kind[kind], "tasks", tasks,
			 "measured_us", ranks ? measured / ranks : 0, "predicted_us",
			 foretold ? json_real(predicted) : json_null());
}

/* [start, end, ready, lane, kind, name, phase], times in us from the step's first start. */
static json_t *track_json(const struct timeline *tl, const struct track *track)
{
	const double zero = is_predicted(track) ? 0 : tl->from;
	json_t *slices = json_array();

	for (int i = 0; i < track->n; i++)
	{
		const struct slice *s = &track->slice[i];
		json_array_append_new(slices, json_pack("[f, f, f, i, i, O, O?]", s->start - zero,
							s->end - zero, s->ready - zero, s->lane,
							s->kind, s->name, s->phase));
	}
	return json_pack("{s:s, s:b, s:o}", "name", track->name, "predicted", is_predicted(track),
			 "slices", slices);
}

static json_t *timeline_json(const struct timeline *tl)
{
	json_t *tracks = json_array(), *parts = json_array(), *rows = json_array(),
	       *kinds = json_array();
	double predicted = NAN;

	for (int t = 0; t < tl->n; t++)
	{
		json_array_append_new(tracks, track_json(tl, &tl->track[t]));
		if (!is_predicted(&tl->track[t]))
			json_array_append_new(parts, split(tl, &tl->track[t]));
		for (int i = 0; i < tl->track[t].n && is_predicted(&tl->track[t]); i++)
			predicted = fmax(predicted, tl->track[t].slice[i].end);
	}
	for (int k = 0; k < tl->nkinds; k++)
	{
		json_array_append_new(kinds, json_string(tl->kind[k]));
		json_array_append_new(rows, kind_row(tl, k));
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:f, s:o}", "tracks", tracks, "split", parts,
			 "by_kind", rows, "kinds", kinds, "span_us", tl->to - tl->from,
			 "predicted_us", isfinite(predicted) ? json_real(predicted) : json_null());
}

int fsmoe_report_add_timeline(json_t *root, const json_t *events, const char *path)
{
	struct timeline tl = {0};
	int err = read_events(&tl, events);

	if (!err)
		find_span(&tl);
	if (err || !isfinite(tl.to))
		err = fsmoe_fail(EPROTO,
				 "%s is no timeline of fsmoe train --timeline, or is cut short",
				 path);
	else
		json_object_set_new(root, "timeline", timeline_json(&tl));
	for (int t = 0; t < tl.n; t++)
		free(tl.track[t].slice);
	free(tl.track);
	return err;
}
