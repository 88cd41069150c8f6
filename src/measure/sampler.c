/* SPDX-License-Identifier: Apache-2.0 */
#include "measure/sampler.h"

#include "base/clock.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/op.h>
#include <stdlib.h>

enum
{
	FEWEST = 5, /* a median of fewer is none */
	MOST = 25
};

static int run_once(struct fsmoe_sampler *sampler, fsmoe_program_t program)
{
	/* Step 1 and no learning rate: as in training, but parameters stay what they are. */
	int err = fsmoe_comm_barrier(sampler->world);

	if (!err)
		err = fsmoe_program_submit(program, &(struct fsmoe_step){.step = 1, .seed = 1});
	return err ? err : fsmoe_program_wait(program);
}

/* How often: what all ranks derive from the longest first run. */
static int decide(struct fsmoe_sampler *sampler, double seconds, double took, int *times)
{
	double all[sampler->world->size];
	int err = fsmoe_comm_allgather(sampler->world, &took, all, sizeof(took));

	for (int r = 0; r < sampler->world->size && !err; r++)
		took = all[r] > took ? all[r] : took;
	*times = seconds / took > MOST ? MOST : (int)(seconds / took);
	*times = *times < FEWEST ? FEWEST : *times;
	return err;
}

/* Task i's durations of all runs stand side by side. */
static int run_all(struct fsmoe_sampler *sampler, fsmoe_program_t program, fsmoe_graph_t graph,
		   const int *node, int n, int times, double *took)
{
	int err = 0, nnodes;
	double *held;

	fsmoe_graph_nodes(graph, &nnodes);
	held = calloc((size_t)nnodes + 1, sizeof(*held));
	if (!held)
		return fsmoe_fail(ENOMEM, "no memory for measurements of %d nodes", nnodes);
	for (int k = 0; k < times && !err; k++)
	{
		struct fsmoe_timeline tl = {0};

		err = run_once(sampler, program);
		if (!err)
			err = fsmoe_program_observe(program, &tl);
		if (!err)
			err = fsmoe_timeline_held(&tl, graph, held);
		for (int i = 0; i < n; i++)
			took[i * times + k] = held[node[i]];
		fsmoe_timeline_destroy(&tl);
	}
	free(held);
	return err;
}

static int add(struct fsmoe_sampler *sampler, fsmoe_graph_t graph, const int *node, int n,
	       int times, double *took)
{
	int count, err = 0;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &count);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &count);

	for (int i = 0; i < n && !err; i++)
	{
		err = fsmoe_samples_add(sampler->samples, fsmoe_node_cost_kind(&nodes[node[i]]),
					nodes[node[i]].span,
					fsmoe_node_work(&nodes[node[i]], tensors), took + i * times,
					times);
		if (FSMOE_KIND_IS_COMM(nodes[node[i]].op->kind))
			continue;
		for (int k = 0; k < times; k++)
			sampler->by_means += took[i * times + k] / times;
		sampler->by_medians += fsmoe_median(took + i * times, times);
	}
	return err;
}

static int choose(fsmoe_graph_t graph, int (*counts)(const struct fsmoe_node *node), int *node)
{
	int nnodes, n = 0, ntensors;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);

	for (int i = 0; i < nnodes; i++)
		if (counts(&nodes[i]) && fsmoe_node_work(&nodes[i], tensors) > 0)
			node[n++] = i;
	return n;
}

int fsmoe_sampler_run(struct fsmoe_sampler *sampler, fsmoe_graph_t graph, fsmoe_memory_t memory,
		      double seconds, int (*counts)(const struct fsmoe_node *node))
{
	fsmoe_program_t program = NULL;
	double start, *took = NULL;
	int nnodes, n = 0, times = 0, *node = NULL;
	int err = fsmoe_program_create(&program, sampler->runtime, graph, memory);

	if (err)
		return err;
	fsmoe_graph_nodes(graph, &nnodes);
	start = fsmoe_clock();
	err = run_once(sampler, program);
	if (!err)
		err = decide(sampler, seconds, fsmoe_clock() - start, &times);
	node = calloc((size_t)nnodes + 1, sizeof(*node));
	took = calloc((size_t)nnodes * (size_t)times + 1, sizeof(*took));
	if (!err && (!node || !took))
		err = fsmoe_fail(ENOMEM, "no memory for measurements of %d nodes", nnodes);
	if (!err)
	{
		n = choose(graph, counts, node);
		err = run_all(sampler, program, graph, node, n, times, took);
	}
	if (!err && n)
		err = fsmoe_samples_slowest(sampler->world, took, n, times);
	if (!err)
		err = add(sampler, graph, node, n, times, took);
	free(node);
	free(took);
	fsmoe_program_destroy(program);
	return err;
}
