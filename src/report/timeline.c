/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"
#include "report/recorded.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/graph.h>
#include <math.h>

/* A recorded step, from the timelines that fsmoe train --timeline writes: when tasks ran, each kind
 * measured beside predicted, and what recorded.h says of it. */

/* {"kind", "tasks", "measured_us" (mean over ranks), "predicted_us" (null: none)} */
static json_t *kind_row(const struct recorded *step, int kind)
{
	double measured = 0, predicted = 0;
	int tasks = 0;

	for (int t = 0; t < step->n; t++)
	{
		const struct recorded_track *track = &step->track[t];
		double sum = 0;
		int n = 0;

		for (int i = 0; i < track->n; i++)
			if (track->slice[i].kind == kind)
			{
				sum += track->slice[i].end - track->slice[i].start;
				n++;
			}
		if (t < step->ranks)
		{
			measured += sum;
			tasks = n > tasks ? n : tasks;
		}
		else
			predicted = sum;
	}
	return json_pack("{s:s, s:i, s:f, s:o}", "kind", step->kind[kind], "tasks", tasks,
			 "measured_us", measured / step->ranks, "predicted_us",
			 step->ranks < step->n ? json_real(predicted) : json_null());
}

/* [start, end, ready, lane, kind, name, phase], times in us from the step's first start. */
static json_t *track_json(const struct recorded *step, const struct recorded_track *track,
			  int predicted)
{
	const double zero = predicted ? 0 : step->from;
	json_t *slices = json_array();

	for (int i = 0; i < track->n; i++)
	{
		const struct recorded_slice *s = &track->slice[i];

		json_array_append_new(slices,
				      json_pack("[f, f, f, i, i, O, s?]", s->start - zero,
						s->end - zero, s->ready - zero, s->lane, s->kind,
						s->name, step->node[s->node].phase));
	}
	return json_pack("{s:s, s:b, s:o}", "name", track->name, "predicted", predicted, "slices",
			 slices);
}

/* Of tasks of one operation and size, [{"kind", "lane", "work", "us": what is usual, "tasks"}]. */
static json_t *sizes_json(const struct recorded *step)
{
	json_t *rows = json_array();

	for (int i = 0; i < step->nnodes; i++)
	{
		const struct recorded_node *node = &step->node[i];
		const struct recorded_slice *s = fsmoe_recorded_slice(step, 0, i);
		int tasks = 0, first = 1;

		for (int k = 0; k < step->nnodes; k++)
			if (fsmoe_recorded_alike(&step->node[k], node))
			{
				first &= k >= i;
				tasks++;
			}
		if (first && s)
			json_array_append_new(
				rows,
				json_pack("{s:s, s:s, s:f, s:f, s:i}", "kind", step->kind[s->kind],
					  "lane", fsmoe_lane_name((enum fsmoe_lane)s->lane), "work",
					  node->work, "us", node->expected, "tasks", tasks));
	}
	return rows;
}

static json_t *timeline_json(const struct recorded *step)
{
	json_t *tracks = json_array(), *rows = json_array(), *kinds = json_array(), *all;
	json_t *waits = fsmoe_recorded_waits(step);
	double predicted = NAN;

	for (int t = 0; t < step->n; t++)
	{
		json_array_append_new(tracks, track_json(step, &step->track[t], t >= step->ranks));
		for (int i = 0; i < step->track[t].n && t >= step->ranks; i++)
			predicted = fmax(predicted, step->track[t].slice[i].end);
	}
	for (int k = 0; k < step->nkinds; k++)
	{
		json_array_append_new(kinds, json_string(step->kind[k]));
		json_array_append_new(rows, kind_row(step, k));
	}
	all = json_pack("{s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:o}", "tracks", tracks, "by_kind",
			rows, "kinds", kinds, "span_us", step->to - step->from, "predicted_us",
			isfinite(predicted) ? json_real(predicted) : json_null(), "path",
			fsmoe_recorded_path(step), "windows", fsmoe_recorded_windows(step),
			"by_size", sizes_json(step));
	json_object_update(all, waits);
	json_decref(waits);
	return all;
}

int fsmoe_report_add_timeline(json_t *root, const json_t *timeline, const char *path)
{
	struct recorded step;
	int err = fsmoe_recorded_read(&step, timeline);

	if (err == -ENOMEM)
		err = fsmoe_fail(ENOMEM, "no memory to read %s", path);
	else if (err && json_is_array(json_object_get(timeline, "traceEvents")) &&
		 !json_object_get(timeline, "fsmoe"))
		err = fsmoe_fail(EPROTO,
				 "%s does not say what tasks wait for: it is no timeline of this "
				 "fsmoe, record one with fsmoe train --timeline",
				 path);
	else if (err)
		err = fsmoe_fail(EPROTO,
				 "%s is no timeline of fsmoe train --timeline, or is cut short",
				 path);
	else
		json_object_set_new(root, "timeline", timeline_json(&step));
	fsmoe_recorded_free(&step);
	return err;
}
