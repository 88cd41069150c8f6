/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 02: one Mixture-of-Experts layer, forward and backward, in chunks. Runs on any number of
 * ranks: `mpirun -np 4 02_moe_layer 2` pretends that they are two nodes.
 *
 * New here: fsmoe_topo_create, fsmoe_groups_create, fsmoe_moe.
 */
#include <fsmoe.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY(call)                                                                                  \
	do                                                                                         \
	{                                                                                          \
		if ((call) < 0)                                                                    \
		{                                                                                  \
			fprintf(stderr, "%s\n", fsmoe_last_error());                               \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

enum
{
	TOKENS = 32, /* of each rank */
	DIM = 16
};

int main(int argc, char **argv)
{
	struct fsmoe_moe_spec spec = {.name = "moe",
				      .experts = 8,
				      .top_k = 2,
				      .hidden_size = DIM,
				      .ffn_size = 32,
				      .capacity_factor = 1.25,
				      .forward_degree = 2,
				      .backward_degree = 4,
				      .init_scale = 0.2,
				      .output_scale = 0.2};
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_graph_t g;
	fsmoe_memory_t memory;
	fsmoe_runtime_t rt;
	fsmoe_program_t program;
	struct fsmoe_timeline tl;
	fsmoe_tensor_t x, y, table, targets, loss;
	float value;

	TRY(fsmoe_topo_create(&topo, NULL, argc > 1 ? atoi(argv[1]) : 0));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&rt, groups, NULL));

	TRY(fsmoe_graph_create(&g, groups));
	targets = fsmoe_graph_input(g, FSMOE_INT32, FSMOE_SHAPE1(TOKENS), "targets");
	x = fsmoe_graph_param(g, &(struct fsmoe_param_spec){.name = "x",
							    .global = FSMOE_SHAPE2(TOKENS, DIM),
							    .init = FSMOE_INIT_NORMAL,
							    .scale = 1});
	table = fsmoe_graph_param(g, &(struct fsmoe_param_spec){.name = "table",
								.global = FSMOE_SHAPE2(4, DIM),
								.init = FSMOE_INIT_NORMAL,
								.scale = 1});
	y = fsmoe_moe(g, x, &spec);
	loss = fsmoe_cross_entropy(g, fsmoe_linear(g, y, table, FSMOE_NONE), targets, 1.0 / TOKENS);
	TRY(fsmoe_graph_backward(g, loss));

	TRY(fsmoe_memory_create(&memory, g, FSMOE_F32, NULL));
	TRY(fsmoe_memory_init_params(memory, 1));
	TRY(fsmoe_program_create(&program, rt, g, memory));
	TRY(fsmoe_program_submit(program, &(struct fsmoe_step){.step = 1}));
	TRY(fsmoe_program_wait(program));
	TRY(fsmoe_program_read(program, loss, &value, sizeof(value)));
	TRY(fsmoe_program_observe(program, &tl));
	if (fsmoe_topo_rank(topo) == 0)
		printf("loss %.6f on %d ranks; %d nodes in %.0f us: compute %.0f, intra %.0f, "
		       "inter %.0f us\n",
		       value, fsmoe_topo_ranks(topo), tl.n, tl.makespan * 1e6,
		       tl.busy[FSMOE_COMPUTE] * 1e6, tl.busy[FSMOE_INTRA] * 1e6,
		       tl.busy[FSMOE_INTER] * 1e6);

	fsmoe_timeline_destroy(&tl);
	fsmoe_program_destroy(program);
	fsmoe_memory_destroy(memory);
	fsmoe_graph_destroy(g);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return 0;
}
