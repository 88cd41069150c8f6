/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stumble WHERE SIGNAL RANK TIMEOUT NODES: training in which one rank sends itself a signal in
 * step 3, in a forward, backward, collective or update task. Prints "stumbles" before.
 */
#include "comm/comm.h"

#include <fsmoe.h>
#include <fsmoe/op.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
	VOCAB = 16,
	DIM = 8,
	BATCH = 8,
	SEQ = 8
};

#define TRY(call)                                                                                  \
	do                                                                                         \
	{                                                                                          \
		if ((call) < 0)                                                                    \
		{                                                                                  \
			fprintf(stderr, "rank %d: %s\n", the.self, fsmoe_last_error());            \
			exit(FSMOE_EXIT_RUN);                                                      \
		}                                                                                  \
	} while (0)

/* Read by a kernel, to which no argument brings it: a test program has one such plan. */
static struct
{
	const char *where;
	int signal, rank, self;
} the;

static void stumble(const struct fsmoe_call *call, const char *where)
{
	if (call->step->step != 3 || the.rank != the.self || strcmp(the.where, where))
		return;
	printf("rank %d stumbles\n", the.self);
	fflush(stdout);
	raise(the.signal);
}

static int copy(const struct fsmoe_call *call, const char *where)
{
	stumble(call, where);
	memcpy(call->data[1], call->data[0],
	       fsmoe_shape_count(&call->tensor[0]->shape) * sizeof(float));
	return 0;
}

static int copy_forward(const struct fsmoe_call *call)
{
	return copy(call, "forward");
}

static int copy_backward(const struct fsmoe_call *call)
{
	return copy(call, "backward");
}

static int meet(const struct fsmoe_call *call)
{
	stumble(call, "collective");
	memcpy(call->data[1], call->data[0],
	       fsmoe_shape_count(&call->tensor[0]->shape) * sizeof(float));
	return fsmoe_comm_barrier(call->comm);
}

static enum fsmoe_group world(const void *args)
{
	(void)args;
	return FSMOE_GROUP_WORLD;
}

static int copy_grad(struct fsmoe_backward *backward, const struct fsmoe_node *node);

static const struct fsmoe_port ports[] = {{"x", FSMOE_R, 0}, {"y", FSMOE_W, 0}};
static const struct fsmoe_op forward_op = {.name = "stumble.forward",
					   .kind = FSMOE_KIND_MEMORY,
					   FSMOE_PORTS(ports),
					   .grad = copy_grad,
					   .cpu = {copy_forward, NULL}};
static const struct fsmoe_op backward_op = {.name = "stumble.backward",
					    .kind = FSMOE_KIND_MEMORY,
					    FSMOE_PORTS(ports),
					    .cpu = {copy_backward, NULL}};
static const struct fsmoe_op meet_op = {.name = "stumble.meet",
					.kind = FSMOE_KIND_ALLREDUCE,
					FSMOE_PORTS(ports),
					.group = world,
					.grad = copy_grad,
					.cpu = {meet, NULL}};

static fsmoe_tensor_t append(fsmoe_graph_t g, const struct fsmoe_op *op, fsmoe_tensor_t x)
{
	fsmoe_tensor_t y = fsmoe_graph_activation(g, FSMOE_REAL, FSMOE_SHAPE2(BATCH * SEQ / 4, DIM),
						  "%s", op->name);
	struct fsmoe_access access[] = {{.tensor = x, .port = 0}, {.tensor = y, .port = 1}};

	fsmoe_graph_append(g, op, NULL, 0, access, 2);
	return y;
}

static int copy_grad(struct fsmoe_backward *b, const struct fsmoe_node *node)
{
	fsmoe_tensor_t dy = fsmoe_backward_out(b, node->access[1].tensor);

	fsmoe_backward_give(b, node->access[0].tensor,
			    append(fsmoe_backward_graph(b), &backward_op, dy));
	return 0;
}

static fsmoe_tensor_t forward(fsmoe_graph_t g, const struct fsmoe_batch_spec *batch, void *arg)
{
	struct fsmoe_param_spec table = {.name = "table",
					 .global = FSMOE_SHAPE2(VOCAB, DIM),
					 .reduce = FSMOE_GROUP_WORLD,
					 .init = FSMOE_INIT_NORMAL,
					 .scale = 0.1};
	struct fsmoe_moe_spec moe = {.name = "moe",
				     .experts = 4,
				     .top_k = 2,
				     .hidden_size = DIM,
				     .ffn_size = 8,
				     .capacity_factor = 2,
				     .init_scale = 0.1,
				     .output_scale = 0.1};
	fsmoe_tensor_t w = fsmoe_graph_param(g, &table), x;

	(void)arg;
	x = fsmoe_embedding(g, batch->tokens, w, FSMOE_NONE, 0, 1);
	x = append(g, &forward_op, x);
	x = append(g, &meet_op, x);
	x = fsmoe_moe(g, x, &moe);
	return fsmoe_cross_entropy(g, fsmoe_linear(g, x, w, FSMOE_NONE), batch->targets,
				   batch->scale);
}

int main(int argc, char **argv)
{
	static int32_t tokens[BATCH * SEQ];
	struct fsmoe_runtime_opts runtime;
	struct fsmoe_train_opts opts;
	struct fsmoe_train_result result;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	fsmoe_runtime_t rt;
	fsmoe_trainer_t trainer;

	if (argc != 6)
		return FSMOE_EXIT_USAGE;
	the.where = argv[1];
	the.signal = atoi(argv[2]);
	the.rank = atoi(argv[3]);
	TRY(fsmoe_topo_create(&topo, NULL, atoi(argv[5])));
	the.self = fsmoe_topo_rank(topo);
	TRY(fsmoe_groups_create(&groups, topo, &(struct fsmoe_layout){0}));
	fsmoe_runtime_opts_init(&runtime);
	runtime.timeout = atof(argv[4]);
	TRY(fsmoe_runtime_start(&rt, groups, &runtime));
	fsmoe_train_opts_init(&opts);
	opts.global_batch = BATCH;
	opts.seq_length = SEQ;
	TRY(fsmoe_trainer_create(&trainer, rt, (struct fsmoe_forward){forward, NULL}, &opts));
	for (int step = 0; step < 6; step++)
		TRY(fsmoe_trainer_step(trainer, tokens, tokens, 1e-3, &result));
	fsmoe_trainer_destroy(trainer);
	fsmoe_runtime_stop(rt);
	fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return 0;
}
