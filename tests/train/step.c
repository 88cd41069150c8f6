/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The training step itself, under the walkers (any number of ranks; an argument: nodes to
 * pretend): three steps executed and three submitted leave the same bits in every tensor, and
 * neither the measured nor a simulated order breaks an access or a lane's order.
 */
#include "base/rng.h"
#include "step/step.h"
#include "tests/lib/random_graph.h"
#include "tests/lib/try.h"

#include <fsmoe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
	STEPS = 3
};

static double some_seconds(const struct fsmoe_node *node, void *arg)
{
	(void)arg;
	return 1e-3 * (1 + node->id % 5);
}

static void prepare(const struct fsmoe_step_graph *s, fsmoe_memory_t memory, int rank, int vocab)
{
	TRY(fsmoe_memory_init_params(memory, 3));
	for (int i = 0; i < s->micro_batches; i++)
	{
		int32_t *tokens = fsmoe_memory_data(memory, s->batch[i].tokens),
			*targets = fsmoe_memory_data(memory, s->batch[i].targets);
		int n, rows;
		rows = (int)fsmoe_shape_count(
			&fsmoe_graph_tensors(s->graph, &n)[s->batch[i].tokens].shape);
		for (int k = 0; k < rows; k++)
		{
			tokens[k] =
				(int32_t)(fsmoe_rng_bits((uint64_t)(rank * 8 + i), (uint64_t)k) %
					  (uint64_t)vocab);
			targets[k] = (tokens[k] + 1) % vocab;
		}
	}
}

static int differences(fsmoe_graph_t g, fsmoe_memory_t a, fsmoe_memory_t b)
{
	int n, bad = 0;
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(g, &n);

	for (int i = 0; i < n; i++)
	{
		if (!memcmp(fsmoe_memory_data(a, i), fsmoe_memory_data(b, i),
			    fsmoe_shape_count(&t[i].shape) * sizeof(float)))
			continue;
		printf("tensor '%s' differs between execute and submit\n", t[i].name);
		bad++;
	}
	return bad;
}

int main(int argc, char **argv)
{
	struct fsmoe_model_spec spec;
	struct fsmoe_train_opts opts;
	struct fsmoe_step_graph step;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	fsmoe_memory_t executed, submitted;
	fsmoe_program_t program;
	struct fsmoe_timeline measured, simulated;
	int bad, nodes;

	TRY(fsmoe_model_spec_init(&spec, "tiny"));
	spec.forward_degree = 2;
	spec.backward_degree = 3;
	spec.capacity_factor = 1.0; /* some tokens are dropped */
	fsmoe_train_opts_init(&opts);
	opts.micro_batches = 2;
	TRY(fsmoe_topo_create(&topo, NULL, argc > 1 ? atoi(argv[1]) : 0));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&rt, groups, NULL));
	TRY(fsmoe_step_create(&step, groups, fsmoe_model_as_forward(&spec), &opts));
	TRY(fsmoe_memory_create(&executed, step.graph, FSMOE_F32, NULL));
	TRY(fsmoe_memory_create(&submitted, step.graph, FSMOE_F32, NULL));
	prepare(&step, executed, fsmoe_topo_rank(topo), spec.vocab_size);
	prepare(&step, submitted, fsmoe_topo_rank(topo), spec.vocab_size);
	TRY(fsmoe_program_create(&program, rt, step.graph, submitted));
	for (uint64_t i = 1; i <= STEPS; i++)
		TRY(fsmoe_graph_execute(step.graph, executed, fsmoe_runtime_comms(rt),
					&(struct fsmoe_step){.step = i, .lr = 1e-3}));
	for (uint64_t i = 1; i <= STEPS; i++)
		TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = i, .lr = 1e-3}));
	TRY(fsmoe_program_wait(program));
	TRY(fsmoe_program_observe(program, &measured));
	TRY(fsmoe_graph_simulate(step.graph, some_seconds, NULL, NULL, &simulated));
	bad = timeline_breaks_order(step.graph, &measured) +
	      timeline_breaks_order(step.graph, &simulated);
	bad += differences(step.graph, executed, submitted);
	fsmoe_graph_nodes(step.graph, &nodes);
	if (fsmoe_topo_rank(topo) == 0)
		printf("%d nodes on %d ranks: loss %.6f, %d differences\n", nodes,
		       fsmoe_topo_ranks(topo), *(float *)fsmoe_memory_data(submitted, step.loss),
		       bad);
	fsmoe_timeline_destroy(&measured);
	fsmoe_timeline_destroy(&simulated);
	fsmoe_program_destroy(program);
	fsmoe_memory_destroy(executed);
	fsmoe_memory_destroy(submitted);
	fsmoe_step_destroy(&step);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return bad ? 1 : 0;
}
