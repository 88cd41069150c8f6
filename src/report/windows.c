/* SPDX-License-Identifier: Apache-2.0 */
#include "report/recorded.h"

#include <math.h>
#include <string.h>

/*
 * The gradient windows of a recorded step: of each layer, in the last micro-batch's backward, the
 * time of its experts, from its first chunk's first task to its last one's last, and the time of
 * its dense part, from there to its last computation; and of each how long gradients travelled, how
 * much of them, and what else was on their lane. In the mean over ranks.
 */
enum part
{
	EXPERTS,
	DENSE,
	NPARTS
};
static const char *const parts[NPARTS] = {"experts", "dense"};

struct window
{
	double from, to;
};

struct filled
{
	double us, gradient_us, gradient_bytes, other_us;
};

static int in_backward(const struct recorded_node *node, int layer, int micro_batch)
{
	return node->layer == layer && node->micro_batch == micro_batch && node->phase &&
	       !strcmp(node->phase, "backward");
}

/* Of one rank; empty ones have to <= from. */
static void find_windows(const struct recorded *step, int rank, int layer, int micro_batch,
			 struct window window[NPARTS])
{
	const struct recorded_track *track = &step->track[rank];

	window[EXPERTS] = window[DENSE] = (struct window){INFINITY, -INFINITY};
	for (int i = 0; i < track->n; i++)
	{
		const struct recorded_slice *s = &track->slice[i];
		const struct recorded_node *node = &step->node[s->node];
		const enum part part = node->chunk < 0 ? DENSE : EXPERTS;

		if (!in_backward(node, layer, micro_batch) || node->gradients)
			continue;
		window[part].from = fmin(window[part].from, s->start);
		window[part].to = fmax(window[part].to, s->end);
	}
	if (isfinite(window[EXPERTS].to))
		window[DENSE].from = window[EXPERTS].to;
}

static void fill(const struct recorded *step, int rank, const struct window *window, int lane,
		 struct filled *filled)
{
	const struct recorded_track *track = &step->track[rank];

	if (!(window->to > window->from))
		return;
	filled->us += window->to - window->from;
	for (int i = 0; i < track->n; i++)
	{
		const struct recorded_slice *s = &track->slice[i];
		const struct recorded_node *node = &step->node[s->node];
		const double us = fmin(s->end, window->to) - fmax(s->start, window->from);

		if (s->lane != lane || us <= 0)
			continue;
		if (!node->gradients)
		{
			filled->other_us += us;
			continue;
		}
		filled->gradient_us += us;
		filled->gradient_bytes += node->work * us / (s->end - s->start);
	}
}

/* The lane of the gradients; -1: none are exchanged. */
static int lane_of_gradients(const struct recorded *step, double *us, double *bytes)
{
	int lane = -1;

	for (int r = 0; r < step->ranks; r++)
		for (int i = 0; i < step->track[r].n; i++)
		{
			const struct recorded_slice *s = &step->track[r].slice[i];

			if (!step->node[s->node].gradients)
				continue;
			lane = s->lane;
			*us += (s->end - s->start) / step->ranks;
			*bytes += step->node[s->node].work / step->ranks;
		}
	return lane;
}

static json_t *row(const char *part, int layer, const struct filled *f, int ranks)
{
	return json_pack("{s:s, s:i, s:f, s:f, s:f, s:f}", "part", part, "layer", layer, "us",
			 f->us / ranks, "gradient_us", f->gradient_us / ranks, "gradient_bytes",
			 f->gradient_bytes / ranks, "other_us", f->other_us / ranks);
}

/* [{"part", "layer", "us", "gradient_us", "gradient_bytes", "other_us"}, ...] in the order of the
 * backward; the last, "at end", is what travelled in no window. [] without gradients. */
json_t *fsmoe_recorded_windows(const struct recorded *step)
{
	json_t *rows = json_array();
	struct filled left = {0};
	int layers = 0, micro_batch = -1;
	const int lane = lane_of_gradients(step, &left.gradient_us, &left.gradient_bytes);

	for (int i = 0; i < step->nnodes; i++)
	{
		layers = step->node[i].layer >= layers ? step->node[i].layer + 1 : layers;
		if (step->node[i].micro_batch > micro_batch)
			micro_batch = step->node[i].micro_batch;
	}
	for (int layer = layers - 1; layer >= 0 && lane >= 0; layer--)
	{
		struct filled filled[NPARTS] = {{0}, {0}};

		for (int r = 0; r < step->ranks; r++)
		{
			struct window window[NPARTS];

			find_windows(step, r, layer, micro_batch, window);
			for (int p = 0; p < NPARTS; p++)
				fill(step, r, &window[p], lane, &filled[p]);
		}
		for (int p = 0; p < NPARTS; p++)
		{
			if (filled[p].us > 0)
				json_array_append_new(
					rows, row(parts[p], layer, &filled[p], step->ranks));
			left.gradient_us -= filled[p].gradient_us / step->ranks;
			left.gradient_bytes -= filled[p].gradient_bytes / step->ranks;
		}
	}
	left.gradient_us = fmax(left.gradient_us, 0);
	left.gradient_bytes = fmax(left.gradient_bytes, 0);
	if (lane >= 0)
		json_array_append_new(rows, row("at end", -1, &left, 1));
	return rows;
}
