/* SPDX-License-Identifier: Apache-2.0 */
#include "moe/layer.h"
#include "codelets/gate_loss.h"
#include "graph/graph.h"
#include "moe/modules.h"
#include "moe/moe.h"

#include <errno.h>

/*
 * One layer. Forward and backward append their nodes in the order of the paper's streams: all that
 * goes out, then all that is computed, then all that comes back. Chunk i's nodes of one stage come
 * before chunk i + 1's, so every communication lane has the same order on every rank:
 *   inter  D1 .. Dr [gradients] C1 .. Cr      intra  AG1 .. AGr RS1 .. RSr
 * Where the schedule has one communication stream a chunk goes back as soon as it is computed:
 *   D1 AG1 .. Dr AGr [gradients] RS1 C1 .. RSr Cr
 * fsmoe_layer_walk (src/plan/layer_walk.c) predicts just this.
 */

/* --- labels ------------------------------------------------------------------------------- */

/* On the compute lane the earlier chunk goes first, and what is still to be sent before what was
 * received: a transfer between nodes waits for it. */
enum stage
{
	STAGE_SEND, /* order */
	STAGE_COMPUTE,
};

static void label_chunk(struct fsmoe_moe_build *moe, enum fsmoe_phase phase, enum stage stage,
			size_t i)
{
	const struct fsmoe_cuts *cuts =
		phase == FSMOE_FORWARD ? &moe->forward.cuts : &moe->backward.cuts;
	size_t n = cuts->n;

	moe->layer.taken.lo = cuts->at[i];
	moe->layer.taken.hi = cuts->at[i + 1];
	fsmoe_graph_set_chunk(moe->layer.graph, (int)i);
	fsmoe_graph_set_priority(moe->layer.graph, (int)(stage == STAGE_SEND ? 2 * n - i : n - i));
}

static void label_whole(fsmoe_graph_t graph, int priority)
{
	fsmoe_graph_set_chunk(graph, -1);
	fsmoe_graph_set_priority(graph, priority);
}

/* --- stages ------------------------------------------------------------------------------- */

/* The gate, its losses, what the order makes of the routing: differentiated node by node. */
static void route(struct fsmoe_moe_build *moe)
{
	const struct fsmoe_moe_layer *layer = &moe->layer;
	const struct fsmoe_gate_opts *o = &layer->opts;
	struct fsmoe_routing *r = &moe->routing;

	label_whole(layer->graph, 2 * (int)moe->forward.cuts.n + 1);
	moe->gate->forward(layer, moe->x, r);
	if (o->balance_loss != 0 || o->importance_loss != 0 || o->z_loss != 0)
		fsmoe_graph_add_loss(
			layer->graph,
			fsmoe_gate_loss(
				layer->graph,
				&(struct fsmoe_gate_loss_inputs){r->logits, r->noisy, r->deviation,
								 r->expert},
				&(struct fsmoe_gate_loss_args){
					.balance = o->balance_loss * layer->loss_scale,
					.importance = o->importance_loss * layer->loss_scale,
					.z = o->z_loss * layer->loss_scale,
					.group = layer->group,
					.topk = layer->top_k}));
	if (moe->order->prepare)
		moe->order->prepare(layer, r);
	if (!moe->by_rows || r->counts == FSMOE_NONE)
		return;
	moe->layer.taken.by_rows = 1;
	moe->layer.taken.sent = r->counts;
	moe->dispatch->count(layer, &moe->layer.taken);
}

/* What the hooks at a place make of a chunk. */
static fsmoe_tensor_t pass(const struct fsmoe_moe_build *moe, enum fsmoe_hook_place place,
			   enum fsmoe_phase phase, size_t i, fsmoe_tensor_t x)
{
	const struct fsmoe_cuts *cuts =
		phase == FSMOE_FORWARD ? &moe->forward.cuts : &moe->backward.cuts;

	return fsmoe_hooks_run(&moe->hooks, &moe->layer, place, phase, cuts, i, x);
}

/* Results, or gradients of inputs, of chunks [first, last) back to the ranks of their tokens. */
static void combine(struct fsmoe_moe_build *moe, enum fsmoe_phase phase, size_t first, size_t last)
{
	const int fwd = phase == FSMOE_FORWARD;
	fsmoe_tensor_t *chunk = fwd ? moe->returned : moe->dreturned;

	for (size_t i = first; i < last; i++)
	{
		label_chunk(moe, phase, STAGE_COMPUTE, i);
		chunk[i] = pass(moe, fwd ? FSMOE_AFTER_COMBINE : FSMOE_BEFORE_DISPATCH, phase, i,
				moe->dispatch->combine(&moe->layer, chunk[i]));
	}
}

/* After chunk i of n was summed over the shards. */
static void send_back(struct fsmoe_moe_build *moe, enum fsmoe_phase phase, size_t i, size_t n)
{
	if (moe->one_stream)
		combine(moe, phase, i, i + 1);
	else if (i + 1 == n)
		combine(moe, phase, 0, n);
}

/* The chunks' tokens out to the experts' ranks. */
static void send_out(struct fsmoe_moe_build *moe)
{
	const struct fsmoe_moe_layer *layer = &moe->layer;
	struct fsmoe_cuts cuts = moe->forward.cuts;

	for (size_t i = 0; i < cuts.n; i++)
	{
		fsmoe_tensor_t x;

		label_chunk(moe, FSMOE_FORWARD, STAGE_SEND, i);
		x = moe->order->order(layer, &moe->routing, moe->x, cuts.at[i], cuts.at[i + 1]);
		x = pass(moe, FSMOE_BEFORE_DISPATCH, FSMOE_FORWARD, i, x);
		x = moe->dispatch->send(layer, x);
		label_chunk(moe, FSMOE_FORWARD, STAGE_COMPUTE, i);
		moe->forward.chunk[i].in = pass(moe, FSMOE_AFTER_DISPATCH, FSMOE_FORWARD, i, x);
	}
}

static void forward(struct fsmoe_moe_build *moe)
{
	const struct fsmoe_moe_layer *layer = &moe->layer;
	struct fsmoe_cuts cuts = moe->forward.cuts;

	send_out(moe);
	for (size_t i = 0; i < cuts.n; i++)
	{
		fsmoe_tensor_t y;

		label_chunk(moe, FSMOE_FORWARD, STAGE_COMPUTE, i);
		y = moe->expert->forward(layer, moe->weight, &moe->forward.chunk[i]);
		y = pass(moe, FSMOE_BEFORE_COMBINE, FSMOE_FORWARD, i, y);
		moe->returned[i] = moe->dispatch->reduce(layer, y);
		send_back(moe, FSMOE_FORWARD, i, cuts.n);
	}
	label_whole(layer->graph, 0);
	moe->y = moe->order->inverse(layer, &moe->routing, cuts, moe->returned);
}

/* Priority below everything that anybody waits for in this step. */
#define WEIGHTS_PRIORITY (-1)

static void weight_gradients(struct fsmoe_moe_build *moe, const fsmoe_tensor_t *gradient,
			     size_t first, size_t last)
{
	moe->expert->weight_gradients(&moe->layer, moe->weight, gradient, &moe->forward,
				      &moe->backward, first, last);
}

/* A chunk's experts are one stage, as in the systems that the rows are named for: what they give
 * back leaves when their weight gradients are there too. */
static void weight_gradients_first(struct fsmoe_moe_build *moe, const fsmoe_tensor_t *gradient,
				   size_t i, fsmoe_tensor_t dx)
{
	const int first = moe->layer.graph->nnodes;

	weight_gradients(moe, gradient, i, i + 1);
	fsmoe_graph_delay(moe->layer.graph, first, dx);
}

static void backward_chunks(struct fsmoe_moe_build *moe, const fsmoe_tensor_t *gradient)
{
	const struct fsmoe_moe_layer *layer = &moe->layer;
	size_t n = moe->backward.cuts.n;

	for (size_t i = 0; i < n; i++)
	{
		fsmoe_tensor_t dx;
		label_chunk(moe, FSMOE_BACKWARD, STAGE_COMPUTE, i);
		dx = moe->expert->backward(layer, moe->weight, &moe->forward, &moe->backward, i);
		dx = pass(moe, FSMOE_AFTER_DISPATCH, FSMOE_BACKWARD, i, dx);
		if (moe->weights_per_chunk)
			weight_gradients_first(moe, gradient, i, dx);
		moe->dreturned[i] = moe->dispatch->reduce(layer, dx);
		send_back(moe, FSMOE_BACKWARD, i, n);
	}
}

/* The chunks' gradients out to the experts' ranks. */
static void send_gradients(struct fsmoe_moe_build *moe, fsmoe_tensor_t dy)
{
	const struct fsmoe_moe_layer *layer = &moe->layer;
	struct fsmoe_cuts cuts = moe->backward.cuts;

	for (size_t i = 0; i < cuts.n; i++)
	{
		fsmoe_tensor_t d;

		label_chunk(moe, FSMOE_BACKWARD, STAGE_SEND, i);
		d = moe->order->inverse_backward(layer, &moe->routing, dy, cuts.at[i],
						 cuts.at[i + 1]);
		d = pass(moe, FSMOE_AFTER_COMBINE, FSMOE_BACKWARD, i, d);
		d = moe->dispatch->send(layer, d);
		label_chunk(moe, FSMOE_BACKWARD, STAGE_COMPUTE, i);
		moe->backward.chunk[i].in = pass(moe, FSMOE_BEFORE_COMBINE, FSMOE_BACKWARD, i, d);
	}
}

static void give(struct fsmoe_backward *b, fsmoe_tensor_t tensor, fsmoe_tensor_t gradient)
{
	if (gradient != FSMOE_NONE && fsmoe_backward_wants(b, tensor))
		fsmoe_backward_give(b, tensor, gradient);
}

static int backward(struct fsmoe_backward *b, const void *args)
{
	struct fsmoe_moe_build *moe = *(struct fsmoe_moe_build *const *)args;
	const struct fsmoe_moe_layer *layer = &moe->layer;
	struct fsmoe_cuts cuts = moe->backward.cuts;
	struct fsmoe_routing_grad grad = {FSMOE_NONE, FSMOE_NONE, FSMOE_NONE};
	fsmoe_tensor_t dy = fsmoe_backward_out(b, moe->y), gradient[FSMOE_EXPERT_WEIGHTS];
	fsmoe_tensor_t dx;

	if (dy == FSMOE_NONE)
		return fsmoe_graph_status(layer->graph);
	for (int w = 0; w < FSMOE_EXPERT_WEIGHTS; w++)
		gradient[w] = fsmoe_backward_param(b, moe->weight[w]);
	send_gradients(moe, dy);
	fsmoe_backward_gap(b);
	label_whole(layer->graph, 0);
	moe->order->routing_backward(layer, &moe->routing, dy, moe->forward.cuts, moe->returned,
				     &grad);
	backward_chunks(moe, gradient);
	label_whole(layer->graph, 0);
	dx = moe->order->order_backward(layer, &moe->routing, moe->x, cuts, moe->dreturned, &grad);
	label_whole(layer->graph, WEIGHTS_PRIORITY);
	if (!moe->weights_per_chunk)
		weight_gradients(moe, gradient, 0, cuts.n);
	label_whole(layer->graph, 0);
	give(b, moe->x, dx);
	give(b, moe->routing.weight, grad.weight);
	give(b, moe->routing.dispatch, grad.dispatch);
	give(b, moe->routing.combine, grad.combine);
	return fsmoe_graph_status(layer->graph);
}

/* --- all of it ------------------------------------------------------------------------------ */

fsmoe_tensor_t fsmoe_moe(fsmoe_graph_t graph, fsmoe_tensor_t x, const struct fsmoe_moe_spec *spec)
{
	const struct fsmoe_labels labels = graph->labels;
	struct fsmoe_moe_build *moe;
	int err;

	if (graph->status || x == FSMOE_NONE)
		return FSMOE_NONE;
	moe = fsmoe_graph_alloc(graph, sizeof(*moe));
	if (!moe)
		return FSMOE_NONE;
	moe->x = x;
	moe->y = FSMOE_NONE;
	err = fsmoe_moe_layer_init(&moe->layer, graph, x, spec);
	if (!err)
		err = fsmoe_moe_make(moe, graph, spec);
	if (err)
	{
		fsmoe_graph_fail(graph, err);
		return FSMOE_NONE;
	}
	moe->x = fsmoe_hooks_run(&moe->hooks, &moe->layer, FSMOE_BEFORE_MOE_START, FSMOE_FORWARD,
				 NULL, 0, x);
	if (graph->status)
		return FSMOE_NONE;
	moe->expert->weights(&moe->layer, moe->weight);
	route(moe);
	fsmoe_graph_region_begin(graph, moe->layer.name);
	forward(moe);
	fsmoe_graph_region_end(graph, backward, &moe, sizeof(moe));
	graph->labels = labels;
	return graph->status ? FSMOE_NONE
			     : fsmoe_hooks_run(&moe->hooks, &moe->layer, FSMOE_BEFORE_MOE_END,
					       FSMOE_FORWARD, NULL, 0, moe->y);
}
