/* SPDX-License-Identifier: Apache-2.0 */
#include "train/nonfinite.h"

#include "runtime/introspect.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A place is a number with the same meaning on every rank, smaller for earlier ones: parameters
 * from 0 on, then nodes in program order. */
#define NOWHERE INT_MAX

/* Numbers that are read at a time: the host may lack room for a step's tensors on a GPU. */
enum
{
	PART = 1 << 20
};

struct look
{
	fsmoe_program_t program;
	const struct fsmoe_tensor_info *tensors;
	float *part; /* PART numbers */
};

/* 1 if all are finite, 0 if not, or the failure to read them. */
static int all_finite(const struct look *look, fsmoe_tensor_t tensor)
{
	const size_t all = fsmoe_shape_count(&look->tensors[tensor].shape);
	int err = 0;

	for (size_t first = 0; first < all && !err; first += PART)
	{
		const size_t n = all - first < PART ? all - first : PART;

		err = fsmoe_program_read_part(look->program, tensor, first, n, look->part);
		for (size_t i = 0; i < n && !err; i++)
			if (!isfinite(look->part[i]))
				return 0;
	}
	return err ? err : 1;
}

/* Returns as all_finite, for what a node wrote. A tensor that many nodes write tells nothing about
 * one of them: a gradient is read where the node writes the parameter's own part. */
static int wrote_finite(const struct look *look, const struct fsmoe_node *node)
{
	int finite = 1;

	for (int i = 0; i < node->naccess && finite == 1 && node->phase != FSMOE_UPDATE; i++)
	{
		const fsmoe_tensor_t tensor = node->access[i].tensor;
		const struct fsmoe_tensor_info *t =
			tensor == FSMOE_NONE ? NULL : &look->tensors[tensor];

		if (!t || !(node->access[i].mode & FSMOE_W) || t->dtype == FSMOE_INT32 ||
		    (t->role == FSMOE_GRAD && node->access[i].mode != FSMOE_RW) ||
		    node->op->ports[node->access[i].port].flags & FSMOE_SCRATCH)
			continue;
		finite = all_finite(look, tensor);
	}
	return finite;
}

/* Returns this rank's first place that is not finite, or a failure. */
static int find_place(const struct look *look, fsmoe_graph_t graph)
{
	int nparams, nnodes, finite = 1, place = 0;
	const struct fsmoe_param *params = fsmoe_graph_params(graph, &nparams);
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes);

	for (; place < nparams + nnodes && finite == 1; place++)
		finite = place < nparams ? all_finite(look, params[place].tensor)
					 : wrote_finite(look, &nodes[place - nparams]);
	return finite < 0 ? finite : finite ? NOWHERE : place - 1;
}

struct report
{
	int place;
	char why[252];
};

static void describe_place(fsmoe_graph_t graph, const struct report *report, int rank, char *text,
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
			 layer, node->op->name, node->micro_batch, rank);
	}
}

/* A rank that cannot read its tensors takes part, too: the others wait for it. */
static void look_for(struct report *report, fsmoe_program_t program, fsmoe_graph_t graph,
		     const char *why)
{
	int ntensors;
	struct look look = {program, fsmoe_graph_tensors(graph, &ntensors),
			    malloc(PART * sizeof(float))};

	report->place = look.part
				? find_place(&look, graph)
				: fsmoe_fail(ENOMEM, "no memory to look at the tensors of a step");
	snprintf(report->why, sizeof(report->why), "%s",
		 report->place < 0 ? fsmoe_last_error() : why);
	if (report->place < 0)
		report->place = NOWHERE;
	free(look.part);
}

int fsmoe_nonfinite_blame(fsmoe_program_t program, fsmoe_graph_t graph, struct fsmoe_comm *world,
			  const char *why, char *text, size_t size)
{
	struct report mine = {0}, *all;
	int err, first = 0;

	look_for(&mine, program, graph, why);
	all = calloc((size_t)world->size, sizeof(*all));
	if (!all)
		return fsmoe_fail(ENOMEM, "no memory for the reports of %d ranks", world->size);
	err = fsmoe_comm_allgather(world, &mine, all, sizeof(mine));
	for (int r = 1; r < world->size && !err; r++)
		if (all[r].place < all[first].place ||
		    (all[first].place == NOWHERE && !*all[first].why))
			first = r;
	if (!err)
		describe_place(graph, &all[first], first, text, size);
	free(all);
	return err;
}
