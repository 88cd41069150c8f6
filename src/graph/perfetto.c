/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/profile.h>
#include <math.h>
#include <stdlib.h>

/*
 * The Trace Event Format: complete events ("X"), in order of their start on each thread. Times are
 * rounded to nanoseconds before a duration is taken of them, so that what touched still touches
 * and nothing overlaps.
 */
struct slice
{
	int node;
	long long start, end, ready; /* nanoseconds */
};

static int by_start(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return x->node - y->node;
}

static void write_us(FILE *f, const char *key, long long ns)
{
	fprintf(f, ",\"%s\":%lld.%03lld", key, ns / 1000, ns % 1000);
}

static void write_name(FILE *f, const char *what, int pid, int tid, const char *name)
{
	fprintf(f, "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":\"",
		what, pid, tid);
	for (; *name; name++)
	{
		if (*name == '"' || *name == '\\')
			fputc('\\', f);
		if ((unsigned char)*name >= 0x20)
			fputc(*name, f);
	}
	fputs("\"}},\n", f);
}

static void write_slice(FILE *f, const struct fsmoe_node *node, const struct slice *s, int pid)
{
	char label[128];

	fsmoe_node_label(node, label, sizeof(label));
	fprintf(f, "{\"ph\":\"X\",\"name\":\"%s\",\"cat\":\"%s\",\"pid\":%d,\"tid\":%d", label,
		fsmoe_kind_name(node->op->kind), pid, node->lane);
	write_us(f, "ts", s->start);
	write_us(f, "dur", s->end - s->start);
	fprintf(f, ",\"args\":{\"node\":%d,\"phase\":\"%s\",\"seq\":%d", node->id,
		fsmoe_phase_name(node->phase), node->seq);
	write_us(f, "ready", s->ready);
	fputs("}},\n", f);
}

static int write_track(FILE *f, const struct fsmoe_graph *g, const struct fsmoe_track *track,
		       int pid)
{
	const struct fsmoe_timeline *tl = track->timeline;
	struct slice *slice = malloc(((size_t)g->nnodes + 1) * sizeof(*slice));

	if (!slice)
		return fsmoe_fail(ENOMEM, "no memory to write a timeline");
	write_name(f, "process_name", pid, 0, track->name);
	for (int lane = 0; lane < FSMOE_NLANES; lane++)
		write_name(f, "thread_name", pid, lane, fsmoe_lane_name((enum fsmoe_lane)lane));
	for (int i = 0; i < g->nnodes; i++)
		slice[i] = (struct slice){i, llround(1e9 * tl->start[i]), llround(1e9 * tl->end[i]),
					  llround(1e9 * fmax(tl->ready[i], 0))};
	qsort(slice, (size_t)g->nnodes, sizeof(*slice), by_start);
	for (int i = 0; i < g->nnodes; i++)
		write_slice(f, &g->nodes[slice[i].node], &slice[i], pid);
	free(slice);
	return 0;
}

int fsmoe_timeline_write_perfetto(FILE *f, fsmoe_graph_t g, const struct fsmoe_track *track,
				  int tracks)
{
	int err = 0;

	for (int i = 0; i < tracks; i++)
		if (track[i].timeline->n != g->nnodes)
			return fsmoe_fail(EINVAL,
					  "the timeline '%s' has %d nodes, the graph %d: it is of "
					  "another graph",
					  track[i].name, track[i].timeline->n, g->nnodes);
	fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", f);
	for (int i = 0; i < tracks && !err; i++)
		err = write_track(f, g, &track[i], i);
	fputs("{\"ph\":\"M\",\"name\":\"fsmoe\",\"pid\":0,\"tid\":0,\"args\":{}}]}\n", f);
	return err                           ? err
	       : ferror(f) || fflush(f) != 0 ? fsmoe_fail(EIO, "the timeline cannot be written")
					     : 0;
}
