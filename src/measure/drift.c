/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/comm.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/measure.h>
#include <stdlib.h>
#include <string.h>

int fsmoe_drift_observe(fsmoe_drift_t drift, fsmoe_program_t program, fsmoe_graph_t graph)
{
	int nnodes, ntensors, err;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);
	double *held = malloc(((size_t)nnodes + 1) * sizeof(*held));
	struct fsmoe_timeline tl = {0};

	err = held ? fsmoe_program_observe(program, &tl)
		   : fsmoe_fail(ENOMEM, "no memory for what %d tasks took", nnodes);
	if (!err)
		err = fsmoe_timeline_held(&tl, graph, held);
	for (int i = 0; i < nnodes && !err; i++)
		err = fsmoe_drift_add(drift, fsmoe_node_cost_kind(&nodes[i]), nodes[i].span,
				      fsmoe_node_work(&nodes[i], tensors), held[i]);
	fsmoe_timeline_destroy(&tl);
	free(held);
	return err;
}

/* The cells of all ranks, one after another; ranks with fewer have gaps, which are closed. */
static int gather(struct fsmoe_comm *world, fsmoe_drift_t drift, struct fsmoe_drift_cell **cells,
		  int *n)
{
	int count = 0, counts[world->size], most = 0, err;
	struct fsmoe_drift_cell *mine, *all;

	fsmoe_drift_cells(drift, NULL, &count);
	err = fsmoe_comm_allgather(world, &count, counts, sizeof(count));
	if (err)
		return err;
	for (int r = 0; r < world->size; r++)
		most = counts[r] > most ? counts[r] : most;
	mine = calloc((size_t)most + 1, sizeof(*mine));
	all = calloc((size_t)most * (size_t)world->size + 1, sizeof(*all));
	if (!mine || !all)
		err = fsmoe_fail(ENOMEM, "no memory for what the tasks of %d ranks took",
				 world->size);
	if (!err)
		fsmoe_drift_cells(drift, mine, &count);
	if (!err && most)
		err = fsmoe_comm_allgather(world, mine, all, (size_t)most * sizeof(*mine));
	free(mine);
	if (err)
	{
		free(all);
		return err;
	}
	*n = 0;
	for (int r = 0; r < world->size; r++)
		for (int i = 0; i < counts[r]; i++)
			all[(*n)++] = all[(size_t)r * (size_t)most + (size_t)i];
	*cells = all;
	return 0;
}

int fsmoe_drift_meet(fsmoe_drift_t drift, fsmoe_runtime_t runtime,
		     struct fsmoe_drift_result *result, fsmoe_profile_t *fresh)
{
	struct fsmoe_comm *world = fsmoe_comms_get(fsmoe_runtime_comms(runtime), FSMOE_GROUP_WORLD);
	struct fsmoe_drift_cell *cells = NULL;
	int n = 0, err = gather(world, drift, &cells, &n);

	if (!err)
		err = fsmoe_drift_decide(drift, cells, n, result, fresh);
	free(cells);
	return err;
}
