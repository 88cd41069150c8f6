/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 03: a model of one's own, trained. The forward below is all there is to write: backward,
 * exchange of gradients and optimizer are derived. It learns to continue a counting sequence.
 * Runs on any number of ranks: `mpirun -np 4 03_own_model 2` is 2 nodes of 2 ranks.
 *
 * New here: struct fsmoe_forward, fsmoe_trainer_*.
 */
#include <fsmoe.h>
#include <stdio.h>
#include <stdlib.h>

enum
{
	VOCAB = 32,
	DIM = 32,
	SEQ = 16,
	BATCH = 16,
	STEPS = 60
};

#define TRY(call)                                                                                  \
	do                                                                                         \
	{                                                                                          \
		if ((call) < 0)                                                                    \
		{                                                                                  \
			fprintf(stderr, "%s\n", fsmoe_last_error());                               \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

/* A parameter that every rank holds: its gradient is summed over all ranks. */
static fsmoe_tensor_t param(fsmoe_graph_t g, const char *name, size_t rows, size_t columns,
			    double scale)
{
	return fsmoe_graph_param(g, &(struct fsmoe_param_spec){
					    .name = name,
					    .global = {columns ? 2 : 1, {rows, columns}},
					    .reduce = FSMOE_GROUP_WORLD,
					    .init = scale > 0 ? FSMOE_INIT_NORMAL : FSMOE_INIT_ONE,
					    .scale = scale,
					    .decay = columns > 0});
}

/* Two MoE layers over an embedding; every rank works on its own tokens. */
static fsmoe_tensor_t forward(fsmoe_graph_t g, const struct fsmoe_batch_spec *batch, void *arg)
{
	static const char *const names[] = {"moe.0", "moe.1"},
				 *const scales[] = {"scale.0", "scale.1"},
				 *const shifts[] = {"shift.0", "shift.1"};
	fsmoe_tensor_t table = param(g, "table", VOCAB, DIM, 0.1), x, h;

	(void)arg;
	x = fsmoe_embedding(g, batch->tokens, table, FSMOE_NONE, 0, 1);
	for (int layer = 0; layer < 2; layer++)
	{
		struct fsmoe_moe_spec moe = {.name = names[layer],
					     .experts = 4,
					     .top_k = 2,
					     .hidden_size = DIM,
					     .ffn_size = 64,
					     .capacity_factor = 2,
					     .init_scale = 0.1,
					     .output_scale = 0.1};

		fsmoe_graph_set_layer(g, layer);
		h = fsmoe_layer_norm(g, x, param(g, scales[layer], DIM, 0, 0),
				     param(g, shifts[layer], DIM, 0, 0.01));
		x = fsmoe_residual(g, x, fsmoe_moe(g, h, &moe), FSMOE_NONE);
	}
	fsmoe_graph_set_layer(g, -1);
	x = fsmoe_linear(g, x, table, FSMOE_NONE);
	return fsmoe_cross_entropy(g, x, batch->targets, batch->scale);
}

int main(int argc, char **argv)
{
	static int32_t tokens[BATCH * SEQ], targets[BATCH * SEQ];
	struct fsmoe_train_opts opts;
	struct fsmoe_train_result result = {0};
	double first = 0;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	fsmoe_trainer_t trainer;

	TRY(fsmoe_topo_create(&topo, NULL, argc > 1 ? atoi(argv[1]) : 0));
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	TRY(fsmoe_runtime_start(&rt, groups, NULL));
	fsmoe_train_opts_init(&opts);
	opts.global_batch = BATCH;
	opts.seq_length = SEQ;
	TRY(fsmoe_trainer_create(&trainer, rt, (struct fsmoe_forward){forward, NULL}, &opts));
	for (int step = 0; step < STEPS; step++)
	{
		for (int i = 0; i < BATCH * SEQ; i++)
		{
			tokens[i] = (step + i) % VOCAB;
			targets[i] = (step + i + 1) % VOCAB;
		}
		TRY(fsmoe_trainer_step(trainer, tokens, targets, 0.01, &result));
		first = step ? first : result.loss;
		if (fsmoe_topo_rank(topo) == 0 && step % 10 == 9)
			printf("step %3d  loss %.6f  grad norm %.4f\n", step + 1, result.loss,
			       result.grad_norm);
	}
	fsmoe_trainer_destroy(trainer);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return result.loss < 0.5 * first ? 0 : 1;
}
