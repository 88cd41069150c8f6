/* SPDX-License-Identifier: Apache-2.0 */
#include "train/finite.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A place is a number that means the same on every rank and is smaller the earlier it is:
 * parameters from 0 on, then nodes in program order. */
#define NOWHERE INT_MAX

static int all_finite(fsmoe_memory_t memory, fsmoe_tensor_t tensor,
		      const struct fsmoe_tensor_info *t)
{
	const float *x = fsmoe_memory_data(memory, tensor);
	const size_t n = fsmoe_shape_count(&t->shape);

	for (size_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return 0;
	return 1;
}

/* Whether a node wrote something that is not finite. What many nodes write tells nothing about
 * one of them: a gradient is looked at through the parameter's own part of it. */
static int node_broke(const struct fsmoe_node *node, const struct fsmoe_tensor_info *tensors,
		      fsmoe_memory_t memory)
{
	if (node->phase == FSMOE_UPDATE)
		return 0;
	for (int i = 0; i < node->naccess; i++)
	{
		const fsmoe_tensor_t tensor = node->access[i].tensor;
		const struct fsmoe_tensor_info *t = tensor == FSMOE_NONE ? NULL : &tensors[tensor];

		if (!t || !(node->access[i].mode & FSMOE_W) || t->dtype == FSMOE_INT32 ||
		    (t->role == FSMOE_GRAD && node->access[i].mode != FSMOE_RW) ||
		    node->op->ports[node->access[i].port].flags & FSMOE_SCRATCH)
			continue;
		if (!all_finite(memory, tensor, t))
			return 1;
	}
	return 0;
}

/* This rank's first place. */
static int find(fsmoe_graph_t graph, fsmoe_memory_t memory)
{
	int nparams, nnodes, ntensors;
	const struct fsmoe_param *params = fsmoe_graph_params(graph, &nparams);
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);

	for (int i = 0; i < nparams; i++)
		if (!all_finite(memory, params[i].tensor, &tensors[params[i].tensor]))
			return i;
	for (int i = 0; i < nnodes; i++)
		if (node_broke(&nodes[i], tensors, memory))
			return nparams + i;
	return NOWHERE;
}

struct report
{
	int place;
	char why[252];
};

static void tell(fsmoe_graph_t graph, const struct report *report, int rank, char *text,
		 size_t size)
{
	const int place = report->place;
	int nparams, nnodes;
	const struct fsmoe_param *params = fsmoe_graph_params(graph, &nparams);
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes), *node;
	char layer[32] = "outside of the layers";

	if (place == NOWHERE)
		snprintf(text, size, "%s",
			 *report->why ? report->why
				      : "every tensor is finite, so their norm is too large");
	else if (place < nparams)
		snprintf(text, size, "it was in the parameter '%s' before the step, on rank %d",
			 params[place].spec.name, rank);
	else
	{
		node = &nodes[place - nparams];
		if (node->layer >= 0)
			snprintf(layer, sizeof(layer), "in layer %d", node->layer);
		snprintf(text, size,
			 "it appeared first %s, in the operation '%s', micro-batch %d, on rank %d",
			 layer, node->op->name, node->microbatch, rank);
	}
}

int fsmoe_finite_blame(fsmoe_graph_t graph, fsmoe_memory_t memory, struct fsmoe_comm *world,
		       const char *why, char *text, size_t size)
{
	struct report mine = {.place = find(graph, memory)}, *all;
	int err, first = 0;

	snprintf(mine.why, sizeof(mine.why), "%s", why);
	all = calloc((size_t)world->size, sizeof(*all));
	if (!all)
		return fsmoe_fail(ENOMEM, "no memory for the reports of %d ranks", world->size);
	err = fsmoe_comm_allgather(world, &mine, all, sizeof(mine));
	for (int r = 1; r < world->size && !err; r++)
		if (all[r].place < all[first].place ||
		    (all[first].place == NOWHERE && !*all[first].why))
			first = r;
	if (!err)
		tell(graph, &all[first], first, text, size);
	free(all);
	return err;
}
