/* SPDX-License-Identifier: Apache-2.0 */
#include "train/expert_load.h"

#include "codelets/route.h"
#include "comm/comm.h"
#include "runtime/introspect.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The first of the numbers; after them the experts of the first layer, of the second, ... */
enum
{
	CALLER, /* the caller's number */
	ROUTED,
	LOADS
};

struct gate /* the gate of a layer in a micro-batch */
{
	fsmoe_tensor_t counts; /* int32 (groups, experts): tokens kept */
	size_t groups, experts;
	size_t at; /* of its layer's first expert among the numbers */
};

struct fsmoe_expert_counter
{
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	struct gate *gate;
	fsmoe_tensor_t *counts; /* of all gates */
	int ngates;
	int nlayers;   /* gates of the first micro-batch, which come first */
	double routed; /* choices of this rank's tokens in a step */
	struct fsmoe_comm *world;
	double *sum; /* n numbers, over ranks */
	size_t n;
	double *rank_load;
	int ranks; /* over which the experts are spread */
};

/* The tensor that a node writes through a port of that name. */
static fsmoe_tensor_t output(const struct fsmoe_node *node, const char *port)
{
	for (int i = 0; i < node->naccess; i++)
		if (node->access[i].mode == FSMOE_W &&
		    !strcmp(node->op->ports[node->access[i].port].name, port))
			return node->access[i].tensor;
	return FSMOE_NONE;
}

/* Choices of a gate: every token makes as many as `expert` has columns. Where experts choose, each
 * fills its slots, and a token that no expert took was not dropped. */
static double count_choices(const struct fsmoe_node *node, const struct fsmoe_tensor_info *expert,
			    const struct gate *gate)
{
	const struct fsmoe_route_args *args = node->args;

	if (node->op == &fsmoe_op_route && args->topk == 0)
		return (double)(gate->groups * gate->experts * args->capacity);
	return (double)fsmoe_shape_count(&expert->shape);
}

/* A gate is a node that writes "expert" and "counts", whatever its operation. */
static void find_gates(struct fsmoe_expert_counter *c, fsmoe_graph_t graph)
{
	int nnodes, ntensors, layer = -1;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);

	c->n = LOADS;
	for (int i = 0; i < nnodes; i++)
	{
		const fsmoe_tensor_t counts = output(&nodes[i], "counts"),
				     expert = output(&nodes[i], "expert");
		struct gate *gate = &c->gate[c->ngates];

		if (counts == FSMOE_NONE || expert == FSMOE_NONE ||
		    tensors[counts].dtype != FSMOE_INT32)
			continue;
		c->counts[c->ngates] = gate->counts = counts;
		gate->groups = tensors[counts].shape.dim[0];
		gate->experts = tensors[counts].shape.dim[1];
		/* Every micro-batch passes through the layers in the same order. */
		if (nodes[i].micro_batch <= 0)
		{
			gate->at = c->n;
			c->n += gate->experts;
			layer++;
		}
		else
			gate->at = c->gate[c->ngates % (layer + 1)].at;
		c->routed += count_choices(&nodes[i], &tensors[expert], gate);
		c->ngates++;
	}
	c->nlayers = layer + 1;
}

int fsmoe_expert_counter_create(struct fsmoe_expert_counter **counter, fsmoe_graph_t graph,
				fsmoe_memory_t memory, fsmoe_program_t program,
				struct fsmoe_comm *world)
{
	struct fsmoe_expert_counter *c = calloc(1, sizeof(*c));
	int nnodes;

	fsmoe_graph_nodes(graph, &nnodes);
	if (c)
	{
		c->memory = memory;
		c->program = program;
		c->world = world;
		c->gate = calloc((size_t)nnodes + 1, sizeof(*c->gate));
		c->counts = calloc((size_t)nnodes + 1, sizeof(*c->counts));
		c->ranks = fsmoe_group_size(fsmoe_graph_groups(graph), FSMOE_GROUP_EP);
		c->rank_load = calloc((size_t)c->ranks, sizeof(*c->rank_load));
	}
	if (c && c->gate && c->counts)
	{
		find_gates(c, graph);
		c->sum = calloc(c->n, sizeof(*c->sum));
	}
	if (!c || !c->sum || !c->rank_load)
	{
		fsmoe_expert_counter_destroy(c);
		return fsmoe_fail(ENOMEM, "no memory for the counts of the experts' tokens");
	}
	*counter = c;
	return fsmoe_comm_reserve(world, c->n * sizeof(*c->sum));
}

void fsmoe_expert_counter_destroy(struct fsmoe_expert_counter *c)
{
	if (!c)
		return;
	free(c->gate);
	free(c->counts);
	free(c->sum);
	free(c->rank_load);
	free(c);
}

static void count(struct fsmoe_expert_counter *c)
{
	for (int i = 0; i < c->ngates; i++)
	{
		const struct gate *gate = &c->gate[i];
		const int32_t *counts = fsmoe_memory_data(c->memory, gate->counts);

		for (size_t k = 0; k < gate->groups * gate->experts; k++)
			c->sum[gate->at + k % gate->experts] += counts[k];
	}
}

double fsmoe_load_entropy(const double *load, size_t experts)
{
	double all = 0, entropy = 0;

	for (size_t i = 0; i < experts; i++)
		all += load[i];
	if (all <= 0 || experts == 1)
		return all > 0;
	for (size_t i = 0; i < experts; i++)
		if (load[i] > 0)
			entropy -= load[i] / all * log(load[i] / all);
	return entropy / log((double)experts);
}

/* Reads single layers, and the ranks that hold their experts. */
static void read_layers(struct fsmoe_expert_counter *c, struct fsmoe_expert_load *load)
{
	memset(c->rank_load, 0, (size_t)c->ranks * sizeof(*c->rank_load));
	for (int i = 0; i < c->nlayers; i++)
	{
		const size_t experts = c->gate[i].experts;
		const double *layer = c->sum + c->gate[i].at;

		load->entropy += fsmoe_load_entropy(layer, experts) / c->nlayers;
		for (size_t e = 0; e < experts; e++)
			c->rank_load[e * (size_t)c->ranks / experts] += layer[e];
	}
	load->rank_load = c->rank_load;
	load->ranks = c->nlayers ? c->ranks : 0;
	load->expert_load = c->sum + LOADS;
	load->layers = c->nlayers;
	load->experts = c->nlayers ? (int)c->gate[0].experts : 0;
	for (int i = 0; i < c->nlayers; i++)
		if (c->gate[i].experts != c->gate[0].experts)
			load->experts = 0;
}

int fsmoe_expert_counter_add_up(struct fsmoe_expert_counter *c, double number, double *numbers,
				struct fsmoe_expert_load *load)
{
	double kept = 0;
	int err = fsmoe_program_pull(c->program, c->counts, c->ngates);

	if (err)
		return err;
	memset(c->sum, 0, c->n * sizeof(*c->sum));
	c->sum[CALLER] = number;
	c->sum[ROUTED] = c->routed;
	count(c);
	err = fsmoe_comm_allreduce(c->world, FSMOE_F64, c->sum, c->n);
	if (err)
		return err;
	*numbers = c->sum[CALLER];
	*load = (struct fsmoe_expert_load){.routed = c->sum[ROUTED]};
	for (size_t i = LOADS; i < c->n; i++)
	{
		const double tokens = c->sum[i];

		load->load_min = i == LOADS || tokens < load->load_min ? tokens : load->load_min;
		load->load_max = tokens > load->load_max ? tokens : load->load_max;
		kept += tokens;
	}
	if (c->n > LOADS)
	{
		load->load_mean = kept / (double)(c->n - LOADS);
		load->dropped = load->routed - kept;
	}
	read_layers(c, load);
	return 0;
}
