/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
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
	long long start, end, ready, submitted; /* nanoseconds; submitted: -1 nobody noted */
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
	if (s->submitted >= 0)
		write_us(f, "submitted", s->submitted);
	fputs("}},\n", f);
}

/* What was submitted before the first start of any rank counts as there from the start. */
static long long submitted(const struct fsmoe_timeline *tl, int node)
{
	return tl->submitted && !isnan(tl->submitted[node])
		       ? llround(1e9 * fmax(tl->submitted[node], 0))
		       : -1;
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
					  llround(1e9 * fmax(tl->ready[i], 0)), submitted(tl, i)};
	qsort(slice, (size_t)g->nnodes, sizeof(*slice), by_start);
	for (int i = 0; i < g->nnodes; i++)
		write_slice(f, &g->nodes[slice[i].node], &slice[i], pid);
	free(slice);
	return 0;
}

/* --- what a task may wait for ------------------------------------------------------------- */

static const struct fsmoe_node *communicates(const struct fsmoe_node *node)
{
	return FSMOE_KIND_IS_COMM(node->op->kind) ? node : NULL;
}

/* "ep":[[0,2],[1,3]]: the ranks of every group of a kind. */
static void write_group(FILE *f, fsmoe_groups_t groups, enum fsmoe_group kind, int ranks)
{
	int member[ranks], written = 0;

	fprintf(f, "\"%s\":[", fsmoe_group_name(kind));
	for (int r = 0; r < ranks; r++)
	{
		int n = ranks;

		if (fsmoe_groups_members(groups, kind, r, member, &n) || member[0] != r)
			continue;
		fprintf(f, "%s[", written++ ? "," : "");
		for (int i = 0; i < n; i++)
			fprintf(f, "%s%d", i ? "," : "", member[i]);
		fputc(']', f);
	}
	fputc(']', f);
}

static void write_groups(FILE *f, const struct fsmoe_graph *g)
{
	const int ranks = g->groups ? fsmoe_topo_ranks(fsmoe_groups_topo(g->groups)) : 1;
	char used[FSMOE_NGROUPS] = {0};
	int written = 0;

	for (int i = 0; i < g->nnodes; i++)
		if (communicates(&g->nodes[i]))
			used[g->nodes[i].op->group(g->nodes[i].args)] = 1;
	for (int k = 0; k < FSMOE_NGROUPS; k++)
		if (used[k])
		{
			fputs(written++ ? "," : "", f);
			write_group(f, g->groups, (enum fsmoe_group)k, ranks);
		}
}

/* It sums gradients of parameters. */
static int exchanges(const struct fsmoe_graph *g, const struct fsmoe_node *node)
{
	for (int i = 0; i < node->naccess && communicates(node); i++)
	{
		const fsmoe_tensor_t t = node->access[i].tensor;

		if (t != FSMOE_NONE && node->access[i].mode & FSMOE_W &&
		    g->tensors[g->tensors[t].base].role == FSMOE_GRAD)
			return 1;
	}
	return 0;
}

static void write_node(FILE *f, const struct fsmoe_graph *g, int i, const int *first,
		       const int *pred)
{
	const struct fsmoe_node *node = &g->nodes[i];

	fprintf(f, "%s\n{\"op\":\"%s\",\"layer\":%d,\"microbatch\":%d,\"chunk\":%d,\"work\":%.10g",
		i ? "," : "", node->op->name, node->layer, node->micro_batch, node->chunk,
		fsmoe_node_work(node, g->tensors));
	if (communicates(node))
		fprintf(f, ",\"group\":\"%s\"", fsmoe_group_name(node->op->group(node->args)));
	if (exchanges(g, node))
		fputs(",\"gradients\":true", f);
	fputs(",\"after\":[", f);
	for (int k = first[i]; k < first[i + 1]; k++)
		fprintf(f, "%s%d", k > first[i] ? "," : "", pred[k]);
	fputs("]}", f);
}

/* Once for all tracks: they are of one graph. */
static int write_graph(FILE *f, const struct fsmoe_graph *g)
{
	int *first, *pred, err = fsmoe_graph_edges((fsmoe_graph_t)g, &first, &pred);

	if (err)
		return err;
	fputs("\"fsmoe\":{\"version\":1,\"groups\":{", f);
	write_groups(f, g);
	fputs("},\"nodes\":[", f);
	for (int i = 0; i < g->nnodes; i++)
		write_node(f, g, i, first, pred);
	fputs("\n]},\n", f);
	free(first);
	free(pred);
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
	fputs("{\"displayTimeUnit\":\"ms\",\n", f);
	err = write_graph(f, g);
	fputs("\"traceEvents\":[\n", f);
	for (int i = 0; i < tracks && !err; i++)
		err = write_track(f, g, &track[i], i);
	fputs("{\"ph\":\"M\",\"name\":\"fsmoe\",\"pid\":0,\"tid\":0,\"args\":{}}]}\n", f);
	return err                           ? err
	       : ferror(f) || fflush(f) != 0 ? fsmoe_fail(EIO, "the timeline cannot be written")
					     : 0;
}
