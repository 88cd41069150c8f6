/* SPDX-License-Identifier: Apache-2.0 */
#include "train/boundary.h"

#include "codelets/route.h"
#include "comm/comm.h"
#include "runtime/introspect.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The sum's first numbers; after them the experts of the first layer, of the second, ... */
enum
{
	STOP,
	ROUTED,
	LOADS
};

struct gate /* one of a micro-batch and layer */
{
	fsmoe_tensor_t counts; /* int32 (groups, experts): tokens kept */
	size_t groups, experts;
	size_t at; /* of its layer's first expert in the sum */
};

struct fsmoe_boundary
{
	fsmoe_memory_t memory;
	fsmoe_program_t program;
	struct fsmoe_comm *world;
	struct gate *gate;
	fsmoe_tensor_t *counts; /* of all gates */
	int ngates;
	int nlayers;   /* gates of the first micro-batch, which come first */
	double routed; /* choices of this rank's tokens in a step */
	double *sum;
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

/* Every token makes as many choices as `expert` has columns; where experts choose, each fills its
 * slots, and a token that nobody took was not dropped. */
static double choices(const struct fsmoe_node *node, const struct fsmoe_tensor_info *expert,
		      const struct gate *gate)
{
	const struct fsmoe_route_args *args = node->args;

	if (node->op == &fsmoe_op_route && args->topk == 0)
		return (double)(gate->groups * gate->experts * args->capacity);
	return (double)fsmoe_shape_count(&expert->shape);
}

/* A gate is what writes "expert" and "counts", whatever its operation is called. */
static void find_gates(struct fsmoe_boundary *b, fsmoe_graph_t graph)
{
	int nnodes, ntensors, layer = -1;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);

	b->n = LOADS;
	for (int i = 0; i < nnodes; i++)
	{
		const fsmoe_tensor_t counts = output(&nodes[i], "counts"),
				     expert = output(&nodes[i], "expert");
		struct gate *gate = &b->gate[b->ngates];

		if (counts == FSMOE_NONE || expert == FSMOE_NONE ||
		    tensors[counts].dtype != FSMOE_INT32)
			continue;
		b->counts[b->ngates] = gate->counts = counts;
		gate->groups = tensors[counts].shape.dim[0];
		gate->experts = tensors[counts].shape.dim[1];
		/* Every micro-batch passes through the layers in the same order. */
		if (nodes[i].micro_batch <= 0)
		{
			gate->at = b->n;
			b->n += gate->experts;
			layer++;
		}
		else
			gate->at = b->gate[b->ngates % (layer + 1)].at;
		b->routed += choices(&nodes[i], &tensors[expert], gate);
		b->ngates++;
	}
	b->nlayers = layer + 1;
}

int fsmoe_boundary_create(struct fsmoe_boundary **boundary, fsmoe_trainer_t trainer,
			  fsmoe_runtime_t runtime)
{
	struct fsmoe_boundary *b = calloc(1, sizeof(*b));
	int nnodes;

	fsmoe_graph_nodes(fsmoe_trainer_graph(trainer), &nnodes);
	if (b)
	{
		b->gate = calloc((size_t)nnodes + 1, sizeof(*b->gate));
		b->counts = calloc((size_t)nnodes + 1, sizeof(*b->counts));
	}
	if (b && b->gate && b->counts)
	{
		b->memory = fsmoe_trainer_memory(trainer);
		b->program = fsmoe_trainer_program(trainer);
		b->world = fsmoe_comms_get(fsmoe_runtime_comms(runtime), FSMOE_GROUP_WORLD);
		find_gates(b, fsmoe_trainer_graph(trainer));
		b->sum = calloc(b->n, sizeof(*b->sum));
		b->ranks = fsmoe_group_size(fsmoe_runtime_groups(runtime), FSMOE_GROUP_EP);
		b->rank_load = calloc((size_t)b->ranks, sizeof(*b->rank_load));
	}
	if (!b || !b->gate || !b->counts || !b->sum || !b->rank_load)
	{
		fsmoe_boundary_destroy(b);
		return fsmoe_fail(ENOMEM, "no memory for the counts of the experts' tokens");
	}
	*boundary = b;
	return fsmoe_comm_reserve(b->world, b->n * sizeof(*b->sum));
}

void fsmoe_boundary_destroy(struct fsmoe_boundary *b)
{
	if (!b)
		return;
	free(b->gate);
	free(b->counts);
	free(b->sum);
	free(b->rank_load);
	free(b);
}

static void count(struct fsmoe_boundary *b)
{
	for (int i = 0; i < b->ngates; i++)
	{
		const struct gate *gate = &b->gate[i];
		const int32_t *counts = fsmoe_memory_data(b->memory, gate->counts);

		for (size_t k = 0; k < gate->groups * gate->experts; k++)
			b->sum[gate->at + k % gate->experts] += counts[k];
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

/* What the sum over ranks says of single layers and of the ranks that hold their experts. */
static void read_layers(struct fsmoe_boundary *b, struct fsmoe_boundary_result *r)
{
	memset(b->rank_load, 0, (size_t)b->ranks * sizeof(*b->rank_load));
	for (int i = 0; i < b->nlayers; i++)
	{
		const size_t experts = b->gate[i].experts;
		const double *load = b->sum + b->gate[i].at;

		r->entropy += fsmoe_load_entropy(load, experts) / b->nlayers;
		for (size_t e = 0; e < experts; e++)
			b->rank_load[e * (size_t)b->ranks / experts] += load[e];
	}
	r->rank_load = b->rank_load;
	r->ranks = b->nlayers ? b->ranks : 0;
	r->expert_load = b->sum + LOADS;
	r->layers = b->nlayers;
	r->experts = b->nlayers ? (int)b->gate[0].experts : 0;
	for (int i = 0; i < b->nlayers; i++)
		if (b->gate[i].experts != b->gate[0].experts)
			r->experts = 0;
}

int fsmoe_boundary_meet(struct fsmoe_boundary *b, int stop, struct fsmoe_boundary_result *result)
{
	struct fsmoe_boundary_result r = {0};
	double kept = 0;
	int err;

	memset(b->sum, 0, b->n * sizeof(*b->sum));
	b->sum[STOP] = stop != 0;
	b->sum[ROUTED] = b->routed;
	err = fsmoe_program_pull(b->program, b->counts, b->ngates);
	if (err)
		return err;
	count(b);
	err = fsmoe_comm_allreduce(b->world, FSMOE_F64, b->sum, b->n);
	if (err)
		return err;
	r.stop = (int)b->sum[STOP];
	r.routed = b->sum[ROUTED];
	for (size_t i = LOADS; i < b->n; i++)
	{
		const double load = b->sum[i];

		r.load_min = i == LOADS || load < r.load_min ? load : r.load_min;
		r.load_max = load > r.load_max ? load : r.load_max;
		kept += load;
	}
	if (b->n > LOADS)
	{
		r.load_mean = kept / (double)(b->n - LOADS);
		r.dropped = r.routed - kept;
	}
	read_layers(b, &r);
	*result = r;
	return 0;
}
