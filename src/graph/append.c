/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"
#include "graph/shapes.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[FSMOE_NKINDS] = {
	[FSMOE_KIND_GEMM] = "gemm",
	[FSMOE_KIND_EXPERT] = "expert",
	[FSMOE_KIND_ATTENTION] = "attention",
	[FSMOE_KIND_MEMORY] = "memory",
	[FSMOE_KIND_REDUCTION] = "reduction",
	[FSMOE_KIND_GATE] = "gate",
	[FSMOE_KIND_ROUTING] = "routing",
	[FSMOE_KIND_ALLTOALL] = "alltoall",
	[FSMOE_KIND_ALLGATHER] = "allgather",
	[FSMOE_KIND_REDUCE_SCATTER] = "reduce-scatter",
	[FSMOE_KIND_ALLREDUCE] = "allreduce",
	[FSMOE_KIND_BROADCAST] = "broadcast",
	[FSMOE_KIND_STAGE] = "alltoall-stage",
};

const char *fsmoe_kind_name(enum fsmoe_kind kind)
{
	return kind_names[kind];
}

static const char *const phase_names[] = {"forward", "backward", "update"};

const char *fsmoe_phase_name(enum fsmoe_phase phase)
{
	return phase_names[phase];
}

int fsmoe_node_label(const struct fsmoe_node *node, char *buffer, size_t size)
{
	const char *phase = fsmoe_phase_name(node->phase);
	char layer[16] = "", micro_batch[16] = "", chunk[16] = "";
	/* Said where the operation's name does not: an AlltoAll is one in either direction. */
	const int said = node->phase == FSMOE_FORWARD || strstr(node->op->name, phase);

	if (node->layer >= 0)
		snprintf(layer, sizeof(layer), " L%d", node->layer);
	if (node->micro_batch >= 0)
		snprintf(micro_batch, sizeof(micro_batch), " m%d", node->micro_batch);
	if (node->chunk >= 0)
		snprintf(chunk, sizeof(chunk), " c%d", node->chunk);
	return snprintf(buffer, size, "%s%s%s%s%s%s", node->op->name, said ? "" : ".",
			said ? "" : phase, layer, micro_batch, chunk);
}

/* Ports in order, optional ones named (as FSMOE_NONE), MANY ports any number of times. */
static int check_ports(const struct fsmoe_op *op, const struct fsmoe_access *access, int n)
{
	int port = -1;

	for (int i = 0; i < n; i++)
	{
		int p = access[i].port;
		if (p < 0 || p >= op->nports)
			return fsmoe_fail(EINVAL, "operation '%s' has no port %d", op->name, p);
		if (p == port && !(op->ports[p].flags & FSMOE_MANY))
			return fsmoe_fail(EINVAL, "operation '%s': port '%s' takes one tensor",
					  op->name, op->ports[p].name);
		if (p < port)
			return fsmoe_fail(EINVAL, "operation '%s': port '%s' comes out of order",
					  op->name, op->ports[p].name);
		for (int skipped = port + 1; skipped < p; skipped++)
			if (!(op->ports[skipped].flags & (FSMOE_MANY | FSMOE_OPTIONAL)))
				return fsmoe_fail(EINVAL, "operation '%s': port '%s' is missing",
						  op->name, op->ports[skipped].name);
		port = p;
		if (access[i].tensor == FSMOE_NONE && !(op->ports[p].flags & FSMOE_OPTIONAL))
			return fsmoe_fail(EINVAL, "operation '%s': port '%s' got no tensor",
					  op->name, op->ports[p].name);
	}
	for (int skipped = port + 1; skipped < op->nports; skipped++)
		if (!(op->ports[skipped].flags & (FSMOE_MANY | FSMOE_OPTIONAL)))
			return fsmoe_fail(EINVAL, "operation '%s': port '%s' is missing", op->name,
					  op->ports[skipped].name);
	return 0;
}

static enum fsmoe_lane span_of(fsmoe_graph_t g, const struct fsmoe_op *op, const void *args)
{
	if (!FSMOE_KIND_IS_COMM(op->kind))
		return FSMOE_COMPUTE;
	return fsmoe_group_spans_nodes(g->groups, op->group(args)) ? FSMOE_INTER : FSMOE_INTRA;
}

/* AlltoAll and AllReduce go between nodes, AllGather and ReduceScatter inside one: where a group
 * is laid out otherwise, what it spans decides, since that is the link it takes. */
static enum fsmoe_lane lane_of(fsmoe_graph_t g, enum fsmoe_lane span)
{
	return span == FSMOE_INTER   ? g->schedule.alltoall_lane
	       : span == FSMOE_INTRA ? g->schedule.gather_lane
				     : FSMOE_COMPUTE;
}

int fsmoe_graph_append(fsmoe_graph_t g, const struct fsmoe_op *op, const void *args,
		       size_t args_size, const struct fsmoe_access *access, int naccess)
{
	struct fsmoe_access *copy;
	struct fsmoe_node *node;

	if (g->status)
		return FSMOE_NONE;
	for (int i = 0; i < naccess; i++)
		if (access[i].tensor < FSMOE_NONE || access[i].tensor >= g->ntensors)
		{
			fsmoe_graph_fail(
				g, fsmoe_fail(EINVAL,
					      "operation '%s': access %d names tensor %d of %d",
					      op->name, i, access[i].tensor, g->ntensors));
			return FSMOE_NONE;
		}
	if (check_ports(op, access, naccess) || fsmoe_check_node(g, op, args, access, naccess))
	{
		fsmoe_graph_fail(g, -EINVAL);
		return FSMOE_NONE;
	}
	copy = fsmoe_graph_copy(g, access, (size_t)naccess * sizeof(*access));
	args = fsmoe_graph_copy(g, args, args_size);
	if (fsmoe_graph_grow(g, (void **)&g->nodes, g->nnodes, &g->nodes_room, sizeof(*g->nodes)) ||
	    g->status)
		return FSMOE_NONE;
	for (int i = 0; i < naccess; i++)
		copy[i].mode = (short)op->ports[access[i].port].mode;

	node = &g->nodes[g->nnodes];
	*node = (struct fsmoe_node){
		.op = op,
		.args = args,
		.access = copy,
		.naccess = naccess,
		.span = span_of(g, op, args),
		.phase = g->labels.phase,
		.layer = g->labels.layer,
		.micro_batch = g->labels.micro_batch,
		.chunk = g->labels.chunk,
		.seq = -1,
		.priority = g->labels.priority,
		.id = g->nnodes,
		.delays = FSMOE_NONE,
	};
	node->lane = lane_of(g, node->span);
	/* Program order is the lane's order: then data edges and lane edges both point forward in
	 * the program, so together they have no cycle, and it is the same on every rank. */
	if (node->lane != FSMOE_COMPUTE)
		node->seq = g->next_seq[node->lane]++;
	return g->nnodes++;
}

void fsmoe_graph_delay(fsmoe_graph_t g, int first, fsmoe_tensor_t tensor)
{
	for (int i = first; i < g->nnodes && tensor != FSMOE_NONE; i++)
		g->nodes[i].delays = tensor;
}

static void add_base(fsmoe_tensor_t b, int m, fsmoe_tensor_t *base, int *mode, int *n)
{
	for (int k = 0; k < *n; k++)
		if (base[k] == b)
		{
			mode[k] |= m;
			return;
		}
	base[*n] = b;
	mode[(*n)++] = m;
}

int fsmoe_node_bases(const struct fsmoe_graph *g, const struct fsmoe_node *node,
		     fsmoe_tensor_t *base, int *mode)
{
	int n = 0;

	for (int i = 0; i < node->naccess; i++)
	{
		if (node->access[i].tensor == FSMOE_NONE || node->access[i].mode == FSMOE_UNUSED)
			continue;
		fsmoe_tensor_t b = g->tensors[node->access[i].tensor].base;
		int m = node->access[i].mode;
		/* Writing a part of a base leaves the rest: for the base that is read and write. */
		if (m == FSMOE_W && fsmoe_shape_count(&g->tensors[node->access[i].tensor].shape) !=
					    fsmoe_shape_count(&g->tensors[b].shape))
			m = FSMOE_RW;
		add_base(b, m, base, mode, &n);
	}
	if (node->delays != FSMOE_NONE)
		add_base(g->tensors[node->delays].base, FSMOE_RW, base, mode, &n);
	return n;
}
