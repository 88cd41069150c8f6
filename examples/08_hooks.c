/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 08: hooks around the dispatch. What travels between ranks, forward and backward, is rounded to
 * bfloat16, as if it had been compressed for the way. `mpirun -np 4 08_hooks 2` is 2 nodes.
 *
 * New here: struct fsmoe_hook.
 */
#include "tiny.h"

#include <fsmoe/module.h>
#include <fsmoe/op.h>
#include <string.h>

/* To the nearest of 8 significant bits, of two to the even one. */
static int round_bf16(const struct fsmoe_call *call)
{
	size_t n = fsmoe_shape_count(&call->tensor[0]->shape);
	const float *x = call->data[0];
	float *y = call->data[1];

	for (size_t i = 0; i < n; i++)
	{
		uint32_t bits;

		memcpy(&bits, &x[i], sizeof(bits));
		bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
		memcpy(&y[i], &bits, sizeof(bits));
	}
	return 0;
}

static const struct fsmoe_port ports[] = {{"x", FSMOE_R, 0, "n"}, {"y", FSMOE_W, 0, "n"}};
static const struct fsmoe_op op_round = {.name = "round_bf16",
					 .doc = "to the nearest bfloat16",
					 .kind = FSMOE_KIND_MEMORY,
					 FSMOE_PORTS(ports),
					 .cpu = {round_bf16}};

/* A hook: appends nodes, returns what passes on. Where it is used, x is about to travel. */
static fsmoe_tensor_t compress(const struct fsmoe_hook_call *call, fsmoe_tensor_t x, void *arg)
{
	fsmoe_graph_t g = call->layer->graph;
	fsmoe_tensor_t y;
	int n;

	(void)arg;
	y = fsmoe_graph_activation(g, FSMOE_REAL, fsmoe_graph_tensors(g, &n)[x].shape, "rounded");
	fsmoe_graph_append(g, &op_round, NULL, 0, (struct fsmoe_access[]){{x, 0, 0}, {y, 1, 0}}, 2);
	return y;
}

static fsmoe_tensor_t as_it_is(const struct fsmoe_hook_call *call, fsmoe_tensor_t x, void *arg)
{
	(void)call;
	(void)arg;
	return x;
}

static void change(struct fsmoe_model_spec *spec)
{
	/* Tokens leave before the dispatch, and gradients of results where those came back. */
	static const struct fsmoe_hook hooks[] = {
		{"out", FSMOE_BEFORE_DISPATCH, compress, as_it_is, NULL},
		{"gradients out", FSMOE_AFTER_COMBINE, NULL, compress, NULL}};

	spec->hooks = hooks;
	spec->nhooks = 2;
	spec->forward_degree = 2;
	spec->backward_degree = 3;
}

int main(int argc, char **argv)
{
	return train_tiny(argc, argv, change);
}
