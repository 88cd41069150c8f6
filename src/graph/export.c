/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

static const char *const modes[] = {"-", "r", "w", "rw"};
static const char *const colours[FSMOE_NLANES] = {"lightgrey", "lightblue", "orange"};

static void write_quoted(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++)
	{
		if (*s == '"' || *s == '\\')
			fputc('\\', f);
		if ((unsigned char)*s >= 0x20)
			fputc(*s, f);
	}
	fputc('"', f);
}

static void write_dot(const struct fsmoe_graph *g, FILE *f, const int *first, const int *pred)
{
	fprintf(f, "digraph step {\n\trankdir=LR;\n\tnode [shape=box,style=filled];\n");
	for (int i = 0; i < g->nnodes; i++)
	{
		char label[128];
		fsmoe_node_label(&g->nodes[i], label, sizeof(label));
		fprintf(f, "\tn%d [label=", i);
		write_quoted(f, label);
		fprintf(f, ",fillcolor=%s];\n", colours[g->nodes[i].lane]);
		for (int k = first[i]; k < first[i + 1]; k++)
			fprintf(f, "\tn%d -> n%d;\n", pred[k], i);
	}
	fprintf(f, "}\n");
}

static void write_text(const struct fsmoe_graph *g, FILE *f, const int *first, const int *pred)
{
	(void)first;
	(void)pred;
	for (int i = 0; i < g->nnodes; i++)
	{
		const struct fsmoe_node *node = &g->nodes[i];
		char label[128];
		fsmoe_node_label(node, label, sizeof(label));
		fprintf(f, "%4d %-7s %-8s %4d  %-40s", i, fsmoe_lane_name(node->lane),
			fsmoe_phase_name(node->phase), node->seq, label);
		for (int k = 0; k < node->naccess; k++)
			fprintf(f, " %s:%s=%s", node->op->ports[node->access[k].port].name,
				modes[node->access[k].mode],
				node->access[k].tensor == FSMOE_NONE
					? "none"
					: g->tensors[node->access[k].tensor].name);
		fputc('\n', f);
	}
}

static void write_json_node(const struct fsmoe_graph *g, FILE *f, const struct fsmoe_node *node)
{
	fprintf(f, "{\"id\":%d,\"op\":", node->id);
	write_quoted(f, node->op->name);
	fprintf(f,
		",\"lane\":\"%s\",\"phase\":\"%s\",\"layer\":%d,\"microbatch\":%d,\"chunk\":%d,"
		"\"seq\":%d,"
		"\"priority\":%d,\"access\":[",
		fsmoe_lane_name(node->lane), fsmoe_phase_name(node->phase), node->layer,
		node->micro_batch, node->chunk, node->seq, node->priority);
	for (int k = 0; k < node->naccess; k++)
	{
		fprintf(f, "%s{\"port\":\"%s\",\"mode\":\"%s\",\"tensor\":%d}", k ? "," : "",
			node->op->ports[node->access[k].port].name, modes[node->access[k].mode],
			node->access[k].tensor);
	}
	(void)g;
	fputc(']', f);
}

static void write_json(const struct fsmoe_graph *g, FILE *f, const int *first, const int *pred)
{
	fprintf(f, "{\"tensors\":[\n");
	for (int t = 0; t < g->ntensors; t++)
	{
		const struct fsmoe_tensor_info *info = &g->tensors[t];
		fprintf(f, "%s{\"id\":%d,\"name\":", t ? ",\n" : "", t);
		write_quoted(f, info->name);
		fprintf(f, ",\"base\":%d,\"offset\":%zu,\"shape\":[", info->base, info->offset);
		for (int d = 0; d < info->shape.ndim; d++)
			fprintf(f, "%s%zu", d ? "," : "", info->shape.dim[d]);
		fprintf(f, "]}");
	}
	fprintf(f, "],\n\"nodes\":[\n");
	for (int i = 0; i < g->nnodes; i++)
	{
		fprintf(f, "%s", i ? ",\n" : "");
		write_json_node(g, f, &g->nodes[i]);
		fprintf(f, ",\"after\":[");
		for (int k = first[i]; k < first[i + 1]; k++)
			fprintf(f, "%s%d", k > first[i] ? "," : "", pred[k]);
		fprintf(f, "]}");
	}
	fprintf(f, "]}\n");
}

static const struct
{
	const char *name;
	void (*write)(const struct fsmoe_graph *g, FILE *f, const int *first, const int *pred);
} formats[] = {{"dot", write_dot}, {"json", write_json}, {"text", write_text}};

int fsmoe_graph_export(fsmoe_graph_t g, FILE *file, const char *format)
{
	int *first, *pred, err = fsmoe_graph_status(g);

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
	{
		if (strcmp(formats[i].name, format))
			continue;
		if (!err)
			err = fsmoe_graph_edges(g, &first, &pred);
		if (err)
			return err;
		formats[i].write(g, file, first, pred);
		free(first);
		free(pred);
		return ferror(file) ? fsmoe_fail(EIO, "writing the graph failed") : 0;
	}
	return fsmoe_fail(EINVAL, "no format '%s' of graphs: there are dot, json and text", format);
}
