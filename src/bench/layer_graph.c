/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/layer.h"

#include "graph/graph.h"
#include "moe/layer.h"
#include "runtime/introspect.h"
#include "train/memory_estimate.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <fsmoe/op.h>
#include <string.h>

void fsmoe_bench_free(struct fsmoe_bench_program *p)
{
	fsmoe_program_drop(p->program);
	fsmoe_memory_destroy(p->memory);
	fsmoe_graph_destroy(p->graph);
	*p = (struct fsmoe_bench_program){0};
}

static int begin_program(const struct fsmoe_bench *b, struct fsmoe_bench_program *p)
{
	int err;

	*p = (struct fsmoe_bench_program){0};
	err = fsmoe_graph_create(&p->graph, b->groups);
	if (!err && *b->schedule.name)
		err = fsmoe_graph_set_schedule(p->graph, &b->schedule);
	return err;
}

/* Fails before anything large is filled if the GPU has no room. */
static int check_room(const struct fsmoe_bench *b, fsmoe_graph_t graph)
{
	struct fsmoe_gpu_memory room;
	const int err = fsmoe_runtime_gpu_memory(b->runtime, &graph, 1, &room);

	return err || room.gpu < 0 ? err : fsmoe_gpu_memory_check(&room);
}

static int finish_program(const struct fsmoe_bench *b, struct fsmoe_bench_program *p)
{
	int err = fsmoe_graph_status(p->graph);

	if (!err)
		err = check_room(b, p->graph);
	if (!err)
		err = fsmoe_memory_create(&p->memory, p->graph, FSMOE_F32, NULL);
	return err;
}

/* --- the layer ------------------------------------------------------------------------------ */

/*
 * Two operations that compute nothing make a step of a layer alone. The gradient of the layer's
 * input ends at the one before it; the gradient of its output begins at the one after it.
 */
static int nothing(const struct fsmoe_call *call)
{
	(void)call;
	return 0;
}

static int nothing_cuda(const struct fsmoe_call *call, const struct fsmoe_cuda *cuda)
{
	(void)call, (void)cuda;
	return 0;
}

static int end_backward(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	struct fsmoe_bench *b = *(struct fsmoe_bench *const *)node->args;

	b->dx = fsmoe_backward_out(backward, b->x);
	return 0;
}

static int begin_backward(struct fsmoe_backward *backward, const struct fsmoe_node *node)
{
	struct fsmoe_bench *b = *(struct fsmoe_bench *const *)node->args;

	fsmoe_backward_give(backward, b->y, b->dy);
	return 0;
}

/* Only tensors that depend on a parameter get a gradient, hence the leaf. */
static const struct fsmoe_port begin_ports[] = {{"leaf", FSMOE_R, FSMOE_FLOAT}, {"x", FSMOE_RW, 0}};
/* The backward needs the output, so it starts after the whole forward pass. */
static const struct fsmoe_port end_ports[] = {
	{"y", FSMOE_R, 0}, {"dy", FSMOE_RW, 0}, {"loss", FSMOE_W, FSMOE_FLOAT}};
static const struct fsmoe_op op_begin = {
	.name = "begin",
	.doc = "leaves x as it is",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(begin_ports),
	.grad = end_backward,
	.cpu = {nothing, nothing},
	.cuda = nothing_cuda,
	.cuda_bf16 = nothing_cuda,
};
static const struct fsmoe_op op_end = {
	.name = "end",
	.doc = "a loss that is never read",
	.kind = FSMOE_KIND_MEMORY,
	FSMOE_PORTS(end_ports),
	.grad = begin_backward,
	.cpu = {nothing, nothing},
	.cuda = nothing_cuda,
	.cuda_bf16 = nothing_cuda,
};

/* Zeros the gradients of the layer's own parameters; the leaf has layer -1. */
static void zero_gradients(fsmoe_graph_t graph)
{
	for (int i = 0; i < graph->nbuckets; i++)
		if (graph->buckets[i].layer == 0)
			fsmoe_zero(graph, graph->buckets[i].grad);
}

int fsmoe_bench_make_layer(struct fsmoe_bench *b)
{
	const struct fsmoe_shape shape = FSMOE_SHAPE2(b->tokens, b->spec.hidden_size);
	const struct fsmoe_param_spec one = {
		.name = "leaf", .global = FSMOE_SHAPE1(1), .reduce = FSMOE_GROUP_WORLD};
	int err = begin_program(b, &b->layer);
	fsmoe_graph_t graph = b->layer.graph;
	fsmoe_tensor_t leaf, loss;

	if (err)
		return err;
	b->x = fsmoe_graph_input(graph, FSMOE_REAL, shape, "x");
	b->dy = fsmoe_graph_input(graph, FSMOE_REAL, shape, "dy");
	leaf = fsmoe_graph_param(graph, &one);
	fsmoe_graph_append(graph, &op_begin, &b, sizeof(b),
			   (struct fsmoe_access[]){{leaf, 0, 0}, {b->x, 1, 0}}, 2);
	fsmoe_graph_set_layer(graph, 0);
	b->y = fsmoe_moe(graph, b->x, &b->spec);
	fsmoe_graph_set_layer(graph, -1);
	loss = fsmoe_graph_activation(graph, FSMOE_WIDE, FSMOE_SHAPE1(1), "loss");
	fsmoe_graph_append(graph, &op_end, &b, sizeof(b),
			   (struct fsmoe_access[]){{b->y, 0, 0}, {b->dy, 1, 0}, {loss, 2, 0}}, 3);
	if (!fsmoe_graph_status(graph))
		zero_gradients(graph);
	fsmoe_graph_backward(graph, loss);
	err = finish_program(b, &b->layer);
	if (err)
		return err;
	fsmoe_bench_fill(b);
	return fsmoe_program_create(&b->layer.program, b->runtime, graph, b->layer.memory);
}

/* --- its parts ------------------------------------------------------------------------------ */

/* Derives the sizes of the layer on the graph of a part. */
static int layer_init(const struct fsmoe_bench *b, fsmoe_graph_t graph,
		      struct fsmoe_moe_layer *layer)
{
	fsmoe_tensor_t x = fsmoe_graph_input(graph, FSMOE_REAL,
					     FSMOE_SHAPE2(b->tokens, b->spec.hidden_size), "x");

	return fsmoe_moe_layer_init(layer, graph, x, &b->spec);
}

static int fill_inputs(const struct fsmoe_bench *b, struct fsmoe_bench_program *p)
{
	int n, err = finish_program(b, p);
	const struct fsmoe_tensor_info *t = fsmoe_graph_tensors(p->graph, &n);

	if (!err)
		err = fsmoe_memory_init_params(p->memory, b->opts->train.train.seed);
	for (int i = 0; i < n && !err; i++)
		if (t[i].role == FSMOE_INPUT)
		{
			float *data = fsmoe_memory_data(p->memory, i);
			for (size_t k = 0; k < fsmoe_shape_count(&t[i].shape); k++)
				data[k] = (float)((k * 2654435761u >> 8 & 1023) / 512.0 - 1);
		}
	return err ? err : fsmoe_program_create(&p->program, b->runtime, p->graph, p->memory);
}

int fsmoe_bench_make_experts(struct fsmoe_bench *b, struct fsmoe_bench_program *p)
{
	const struct fsmoe_expert *expert = fsmoe_expert_find(b->spec.expert);
	fsmoe_tensor_t weight[FSMOE_EXPERT_WEIGHTS], gradient[FSMOE_EXPERT_WEIGHTS];
	struct fsmoe_expert_chunk in = {0}, dout = {0};
	struct fsmoe_moe_layer layer;
	struct fsmoe_cuts cuts;
	struct fsmoe_shape shape;
	int n, err = begin_program(b, p);

	if (!err)
		err = layer_init(b, p->graph, &layer);
	if (err)
		return err;
	cuts = fsmoe_moe_cuts(p->graph, b->slots, 1);
	const struct fsmoe_expert_pass forward = {cuts, &in};
	struct fsmoe_expert_pass backward = {cuts, &dout};
	shape = FSMOE_SHAPE4(layer.sources, layer.local_experts, b->slots, layer.hidden_size);
	for (int i = 0; i < FSMOE_EXPERT_WEIGHTS; i++)
		weight[i] = FSMOE_NONE;
	expert->weights(&layer, weight);
	in.in = fsmoe_graph_input(p->graph, FSMOE_REAL, shape, "in");
	dout.in = fsmoe_graph_input(p->graph, FSMOE_REAL, shape, "dout");
	expert->forward(&layer, weight, &in);
	fsmoe_graph_set_phase(p->graph, FSMOE_BACKWARD);
	expert->backward(&layer, weight, &forward, &backward, 0);
	for (int i = 0; i < FSMOE_EXPERT_WEIGHTS; i++)
		gradient[i] = weight[i] == FSMOE_NONE
				      ? FSMOE_NONE
				      : fsmoe_graph_tensors(p->graph, &n)[weight[i]].grad;
	expert->weight_gradients(&layer, weight, gradient, &forward, &backward, 0, 1);
	return fill_inputs(b, p);
}

int fsmoe_bench_make_exchange(struct fsmoe_bench *b, struct fsmoe_bench_program *p, size_t *bytes)
{
	const struct fsmoe_dispatch *dispatch = fsmoe_dispatch_find(b->spec.dispatch);
	struct fsmoe_moe_layer layer;
	fsmoe_tensor_t x;
	int n, err = begin_program(b, p);

	if (!err)
		err = layer_init(b, p->graph, &layer);
	if (err)
		return err;
	*bytes = layer.experts * b->slots * layer.hidden_size *
		 (strcmp(b->opts->train.runtime.dtype, "bf16") ? sizeof(float) : sizeof(uint16_t));
	x = fsmoe_graph_input(p->graph, FSMOE_REAL,
			      FSMOE_SHAPE3(layer.experts, b->slots, layer.hidden_size), "slots");
	for (int pass = 0; pass < 2; pass++)
	{
		x = dispatch->reduce(&layer, dispatch->send(&layer, x));
		x = dispatch->combine(&layer, x);
	}
	fsmoe_graph_nodes(p->graph, &n);
	return n == 0 ? fsmoe_graph_status(p->graph) : fill_inputs(b, p);
}
