/* SPDX-License-Identifier: Apache-2.0 */
#include "report/recorded.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Waiting by cause. Each gap on a lane ends with the start of a task; backwards from there every
 * moment has the event that it waited for:
 *
 *	ready, the lane free                 the scheduler, until the start
 *	all it needs was there               overhead, until it was said to be ready
 *	its last need had ended              submission, until the task was submitted
 *	that need ran                        dependency; of a communication the time before its last
 *	                                     rank came is a late peer, and what it took longer than
 *	                                     its like a slow link
 *	that need was ready, its lane busy   order, or what that other task was held up by
 *
 * and so on with what that need had waited for itself. On lanes of communication order comes first:
 * another task was ready, but the number of this one is lower. Inside of a communication waiting
 * for a late peer and a slow link count too.
 */
const struct wait_cause_row fsmoe_wait_causes[WAIT_CAUSES] = {
	[WAIT_DEPENDENCY] = {"dependency", "a task that is needed still ran"},
	[WAIT_ORDER] = {"order", "ready, but others come first on the lane"},
	[WAIT_PEER] = {"late peer", "a rank had not come to the communication"},
	[WAIT_LINK] = {"slow link", "all were there, but it lasted longer than its like"},
	[WAIT_SCHEDULER] = {"scheduler", "ready and the lane free, but not started"},
	[WAIT_OVERHEAD] = {"overhead",
			   "all it needs had ended, but it was not yet said to be ready"},
	[WAIT_SUBMISSION] = {"submission", "it was not yet submitted"},
	[WAIT_DONE] = {"done", "the lane has nothing left, other lanes or ranks still work"},
	[WAIT_UNEXPLAINED] = {"unexplained", "nobody noted why"},
};

struct wait
{
	double from, to;
	int rank, lane, node;
	enum wait_cause cause;
	int on_rank, on; /* whom it waited for: a node; -1: none */
};

struct waits
{
	const struct recorded *step;
	struct wait *wait;
	int n, room, failed;
};

static void add(struct waits *w, const struct wait *wait)
{
	if (wait->to <= wait->from || w->failed)
		return;
	if (w->n == w->room)
	{
		const int room = w->room ? 2 * w->room : 256;
		struct wait *more = realloc(w->wait, (size_t)room * sizeof(*more));

		if (!more)
		{
			w->failed = 1;
			return;
		}
		w->wait = more;
		w->room = room;
	}
	w->wait[w->n++] = *wait;
}

/* The end of what is left of a gap goes to a cause, from `low` on; the gap's end moves there. */
static void peel(struct waits *w, struct wait *gap, enum wait_cause cause, double low, int on_rank,
		 int on)
{
	struct wait piece = *gap;

	piece.from = fmax(low, gap->from);
	piece.cause = cause;
	piece.on_rank = on_rank;
	piece.on = on;
	add(w, &piece);
	gap->to = fmin(gap->to, fmax(piece.from, gap->from));
}

/* The part of a gap, from `low` on, in which another task ran: what it was held up by itself, and
 * for the rest a cause. */
static void peel_running(struct waits *w, struct wait *gap, const struct recorded_slice *other,
			 enum wait_cause cause, double low)
{
	const struct recorded_node *node = &w->step->node[other->node];
	int last;
	const double arrival = fsmoe_recorded_arrival(w->step, gap->rank, other, other->end, &last);

	if (node->group && other->end - arrival > RECORDED_SLOW * node->expected)
		peel(w, gap, WAIT_LINK, fmax(low, arrival + node->expected), gap->rank,
		     other->node);
	peel(w, gap, cause, fmax(low, arrival), gap->rank, other->node);
	peel(w, gap, WAIT_PEER, fmax(low, other->start), last, other->node);
}

/* The part of a gap in which a task was ready, but others came first on its lane. */
static void peel_lane(struct waits *w, struct wait *gap, const struct recorded_slice *s)
{
	const struct recorded_slice *other = fsmoe_recorded_before(w->step, gap->rank, s);

	for (; other && gap->to > fmax(s->ready, gap->from);
	     other = fsmoe_recorded_before(w->step, gap->rank, other))
	{
		/* After its end the next one was waited for; that has been said. */
		peel(w, gap, WAIT_ORDER, fmax(s->ready, other->end), gap->rank, other->node);
		peel_running(w, gap, other, WAIT_ORDER, s->ready);
	}
	peel(w, gap, WAIT_ORDER, s->ready, gap->rank, s->node);
}

/* Ready and the lane free; ready and others first; all it needs is there; not submitted. */
static void peel_before(struct waits *w, struct wait *gap, const struct recorded_slice *s,
			const struct recorded_slice *need, int outermost)
{
	const struct recorded_slice *before = fsmoe_recorded_before(w->step, gap->rank, s);
	const double ended = need ? need->end : gap->from,
		     submitted = isnan(s->submitted) ? gap->from : s->submitted;
	const int noted = s->ready < s->start;

	peel(w, gap, WAIT_SCHEDULER, before && !outermost ? fmax(s->ready, before->end) : s->ready,
	     gap->rank, s->node);
	if (!outermost)
		peel_lane(w, gap, s);
	peel(w, gap, noted ? WAIT_OVERHEAD : WAIT_UNEXPLAINED, fmax(ended, submitted), gap->rank,
	     s->node);
	if (!isnan(s->submitted))
		peel(w, gap, WAIT_SUBMISSION, ended, gap->rank, s->node);
}

/* From the time on that `ready` names, some later task of the lane could have run. */
static void blame(struct waits *w, struct wait gap, const struct recorded_slice *s, double ready)
{
	int outermost = 1;

	if (ready < s->ready && gap.to > s->ready)
		peel(w, &gap, WAIT_SCHEDULER, s->ready, gap.rank, s->node);
	if (ready < s->ready)
		peel(w, &gap, gap.lane ? WAIT_ORDER : WAIT_SCHEDULER, ready, gap.rank, s->node);
	while (s && gap.to > gap.from)
	{
		const struct recorded_slice *need = fsmoe_recorded_need(w->step, gap.rank, s);

		peel_before(w, &gap, s, need, outermost);
		if (need)
			peel_running(w, &gap, need, WAIT_DEPENDENCY, need->start);
		s = need;
		outermost = 0;
	}
	peel(w, &gap, WAIT_UNEXPLAINED, gap.from, gap.rank, -1);
}

/* Inside of a communication. */
static void wait_inside(struct waits *w, int rank, const struct recorded_slice *s)
{
	const struct recorded_node *node = &w->step->node[s->node];
	struct wait wait = {.rank = rank, .lane = s->lane, .node = s->node, .on = s->node};
	int last;
	const double arrival = fsmoe_recorded_arrival(w->step, rank, s, s->end, &last);

	if (!node->group)
		return;
	wait.cause = WAIT_PEER;
	wait.from = s->start;
	wait.to = arrival;
	wait.on_rank = last;
	add(w, &wait);
	if (s->end - arrival <= RECORDED_SLOW * node->expected)
		return;
	wait.cause = WAIT_LINK;
	wait.from = arrival + node->expected;
	wait.to = s->end;
	wait.on_rank = rank;
	add(w, &wait);
}

/* When the first of the lane's later tasks was ready, by slice. */
static void find_later(const struct recorded_track *track, double *later)
{
	double ready[RECORDED_LANES] = {INFINITY, INFINITY, INFINITY};

	for (int i = track->n - 1; i >= 0; i--)
	{
		double *of_lane = &ready[track->slice[i].lane];

		later[i] = *of_lane;
		*of_lane = fmin(*of_lane, track->slice[i].ready);
	}
}

static void find_waits(struct waits *w, int rank)
{
	const struct recorded *step = w->step;
	const struct recorded_track *track = &step->track[rank];
	double until[RECORDED_LANES] = {step->from, step->from, step->from};
	double *later = malloc(((size_t)track->n + 1) * sizeof(*later));

	if (!later)
	{
		w->failed = 1;
		return;
	}
	find_later(track, later);
	for (int i = 0; i < track->n; i++)
	{
		const struct recorded_slice *s = &track->slice[i];
		const struct wait gap = {.from = until[s->lane],
					 .to = s->start,
					 .rank = rank,
					 .lane = s->lane,
					 .node = s->node};

		blame(w, gap, s, later[i]);
		wait_inside(w, rank, s);
		until[s->lane] = fmax(until[s->lane], s->end);
	}
	for (int lane = 0; lane < RECORDED_LANES; lane++)
		add(w, &(struct wait){.from = until[lane],
				      .to = step->to,
				      .rank = rank,
				      .lane = lane,
				      .node = -1,
				      .cause = WAIT_DONE,
				      .on_rank = rank,
				      .on = -1});
	free(later);
}

/* --- as JSON ------------------------------------------------------------------------------ */

/* [rank, lane, from, to, cause, rank waited for, task waited for], from the step's start. */
static json_t *wait_json(const struct recorded *step, const struct wait *wait)
{
	const struct recorded_slice *on =
		wait->on < 0 ? NULL : fsmoe_recorded_slice(step, wait->on_rank, wait->on);

	return json_pack("[i, i, f, f, i, i, O?]", wait->rank, wait->lane, wait->from - step->from,
			 wait->to - step->from, (int)wait->cause, wait->on_rank,
			 on ? on->name : NULL);
}

/* {"rank", "lane", "run": us, "waits": {cause: us}}: together the step. */
static json_t *lane_json(const struct waits *w, int rank, int lane)
{
	json_t *by_cause = json_object();
	double run = w->step->to - w->step->from;

	for (int i = 0; i < w->n; i++)
	{
		const struct wait *wait = &w->wait[i];

		if (wait->rank != rank || wait->lane != lane)
			continue;
		fsmoe_recorded_increase(by_cause, fsmoe_wait_causes[wait->cause].name,
					wait->to - wait->from);
		run -= wait->to - wait->from;
	}
	return json_pack("{s:i, s:i, s:f, s:o}", "rank", rank, "lane", lane, "run", run, "waits",
			 by_cause);
}

/* What a rank's step went into, by its compute lane: {"track": name, "compute": {kind: us},
 * "exposed": {kind: us}, "waits": {cause: us}}. Exposed is waiting for a communication that ran. */
static json_t *split_json(const struct waits *w, int rank)
{
	const struct recorded *step = w->step;
	const struct recorded_track *track = &step->track[rank];
	json_t *compute = json_object(), *exposed = json_object(), *waits = json_object();
	double until = step->from;

	for (int i = 0; i < track->n; i++)
	{
		const struct recorded_slice *s = &track->slice[i];

		if (s->lane != 0)
			continue;
		fsmoe_recorded_increase(compute, step->kind[s->kind],
					s->end - fmax(until, s->start));
		until = fmax(until, s->end);
	}
	for (int i = 0; i < w->n; i++)
	{
		const struct wait *wait = &w->wait[i];
		const struct recorded_slice *on =
			wait->on < 0 ? NULL : fsmoe_recorded_slice(step, wait->on_rank, wait->on);

		if (wait->rank != rank || wait->lane != 0)
			continue;
		if (wait->cause == WAIT_DEPENDENCY && on && step->communicates[on->kind])
			fsmoe_recorded_increase(exposed, step->kind[on->kind],
						wait->to - wait->from);
		else
			fsmoe_recorded_increase(waits, fsmoe_wait_causes[wait->cause].name,
						wait->to - wait->from);
	}
	return json_pack("{s:s, s:o, s:o, s:o}", "track", track->name, "compute", compute,
			 "exposed", exposed, "waits", waits);
}

json_t *fsmoe_recorded_waits(const struct recorded *step)
{
	struct waits w = {.step = step};
	json_t *causes = json_array(), *lanes = json_array(), *splits = json_array(),
	       *all = json_array();
	double unexplained = 0;

	for (int r = 0; r < step->ranks; r++)
		find_waits(&w, r);
	for (int c = 0; c < WAIT_CAUSES; c++)
		json_array_append_new(causes,
				      json_pack("{s:s, s:s}", "name", fsmoe_wait_causes[c].name,
						"doc", fsmoe_wait_causes[c].doc));
	for (int i = 0; i < w.n && !w.failed; i++)
	{
		json_array_append_new(all, wait_json(step, &w.wait[i]));
		if (w.wait[i].cause == WAIT_UNEXPLAINED && w.wait[i].lane == 0)
			unexplained += (w.wait[i].to - w.wait[i].from) / step->ranks;
	}
	for (int r = 0; r < step->ranks; r++)
	{
		for (int lane = 0; lane < RECORDED_LANES; lane++)
			json_array_append_new(lanes, lane_json(&w, r, lane));
		json_array_append_new(splits, split_json(&w, r));
	}
	free(w.wait);
	return json_pack("{s:o, s:o, s:o, s:o, s:f}", "causes", causes, "waits", all, "lanes",
			 lanes, "split", splits, "unexplained_us", unexplained);
}
