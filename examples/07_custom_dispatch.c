/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 07: a dispatch of one's own: every rank gathers the slots of all ranks and takes what is for its
 * own experts; results come back the same way. `mpirun -np 4 07_custom_dispatch 2` is 2 nodes.
 *
 * New here: struct fsmoe_dispatch, fsmoe_dispatch_register, an operation of one's own.
 */
#include "tiny.h"

#include <fsmoe/module.h>
#include <fsmoe/op.h>
#include <string.h>

/* from (n, n, ...) -> to (n, ...): to[i] = from[i, rank]. */
static int take(const struct fsmoe_call *call)
{
	const int *args = call->args, n = args[0], rank = args[1];
	size_t bytes = fsmoe_shape_count(&call->tensor[1]->shape) / (size_t)n * sizeof(float);

	for (int i = 0; i < n; i++)
		memcpy((char *)call->data[1] + (size_t)i * bytes,
		       (const char *)call->data[0] + (size_t)(i * n + rank) * bytes, bytes);
	return 0;
}

/* The letter R of the shapes below is the number of ranks, which no tensor tells alone. */
static int check_take(const struct fsmoe_check *check)
{
	fsmoe_check_letter(check, 'R', (size_t)((const int *)check->args)[0]);
	return 0;
}

static const struct fsmoe_port ports[] = {{"from", FSMOE_R, 0, "R*R*n"}, {"to", FSMOE_W, 0, "R*n"}};
static const struct fsmoe_op op_take = {.name = "take",
					.doc = "one rank's part of everybody's parts",
					.kind = FSMOE_KIND_MEMORY,
					FSMOE_PORTS(ports),
					.check = check_take,
					.cpu = {take}};

/* x, a part for every rank, of every rank -> this rank's part from every rank: (EP, part). */
static fsmoe_tensor_t exchange(const struct fsmoe_moe_layer *l, fsmoe_tensor_t x, int back)
{
	const size_t ep = (size_t)l->ep, local = l->local_experts, M = l->hidden_size;
	const int args[2] = {l->ep, l->ep_rank};
	fsmoe_tensor_t all, y;
	int n;

	if (x == FSMOE_NONE) /* something failed before */
		return x;
	size_t c =
		fsmoe_shape_count(&fsmoe_graph_tensors(l->graph, &n)[x].shape) / (ep * local * M);
	all = fsmoe_allgather(l->graph, x, FSMOE_GROUP_EP);
	y = fsmoe_graph_activation(
		l->graph, FSMOE_REAL,
		back ? FSMOE_SHAPE3(ep * local, c, M) : FSMOE_SHAPE4(ep, local, c, M), "taken");
	fsmoe_graph_append(l->graph, &op_take, args, sizeof(args),
			   (struct fsmoe_access[]){{all, 0, 0}, {y, 1, 0}}, 2);
	return fsmoe_graph_status(l->graph) ? FSMOE_NONE : y;
}

static fsmoe_tensor_t send(const struct fsmoe_moe_layer *l, fsmoe_tensor_t chunk)
{
	return fsmoe_allgather(l->graph, exchange(l, chunk, 0), FSMOE_GROUP_ESP);
}

static fsmoe_tensor_t combine(const struct fsmoe_moe_layer *l, fsmoe_tensor_t reduced)
{
	return exchange(l, reduced, 1);
}

static void change(struct fsmoe_model_spec *spec)
{
	spec->dispatch = "gathering";
	spec->forward_degree = 2;
}

int main(int argc, char **argv)
{
	static struct fsmoe_dispatch gathering = {
		.module = {FSMOE_MODULE_ABI, "gathering", "everybody gets everything", NULL}};

	gathering.send = send;
	gathering.reduce = fsmoe_dispatch_find("flat")->reduce;
	gathering.combine = combine;
	TRY(fsmoe_dispatch_register(&gathering));
	return train_tiny(argc, argv, change);
}
