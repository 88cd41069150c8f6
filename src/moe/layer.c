/* SPDX-License-Identifier: Apache-2.0 */
#include "moe/layer.h"
#include "codelets/gate_loss.h"
#include "graph/graph.h"
#include "moe/hooks.h"
#include "moe/modules.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <limits.h>

/*
 * One layer. Forward and backward append their nodes in the order of the paper's streams: all that
 * goes out, then all that is computed, then all that comes back. Chunk i's nodes of one stage come
 * before chunk i + 1's, so every communication lane has the same order on every rank:
 *   inter  D1 .. Dr [gradients] C1 .. Cr      intra  AG1 .. AGr RS1 .. RSr
 * Where the schedule has one communication stream a chunk goes back as soon as it is computed:
 *   D1 AG1 .. Dr AGr [gradients] RS1 C1 .. RSr Cr
 * fsmoe_layer_walk (src/plan/layer.c) predicts just this.
 */
struct moe
{
	struct fsmoe_moe_layer layer;
	int one_stream, weights_per_chunk; /* columns of the schedule */
	const struct fsmoe_gate *gate;
	const struct fsmoe_order *order;
	const struct fsmoe_dispatch *dispatch;
	const struct fsmoe_expert *expert;
	struct fsmoe_hooks hooks;
	fsmoe_tensor_t x, y;
	struct fsmoe_routing routing;
	fsmoe_tensor_t weight[FSMOE_EXPERT_WEIGHTS];
	struct fsmoe_expert_pass forward, backward;
	fsmoe_tensor_t *returned; /* forward chunks as they came back, and backward ones later */
	fsmoe_tensor_t *dreturned;
};

/* --- labels ------------------------------------------------------------------------------- */

/* On the compute lane the earlier chunk goes first, and what is still to be sent before what was
 * received: a transfer between nodes waits for it. */
enum stage
{
	STAGE_SEND, /* order */
	STAGE_COMPUTE,
};

static void label_chunk(fsmoe_graph_t graph, enum stage stage, size_t i, size_t n)
{
	fsmoe_graph_set_chunk(graph, (int)i);
	fsmoe_graph_set_priority(graph, (int)(stage == STAGE_SEND ? 2 * n - i : n - i));
}

static void label_whole(fsmoe_graph_t graph, int priority)
{
	fsmoe_graph_set_chunk(graph, -1);
	fsmoe_graph_set_priority(graph, priority);
}

/* --- stages ------------------------------------------------------------------------------- */

/* The gate, its losses, what the order makes of the routing: differentiated node by node. */
static void route(struct moe *moe)
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
					.topk = layer->topk}));
	if (moe->order->prepare)
		moe->order->prepare(layer, r);
}

/* What the hooks at a place make of a chunk. */
static fsmoe_tensor_t pass(const struct moe *moe, enum fsmoe_hook_place place,
			   enum fsmoe_phase phase, size_t i, fsmoe_tensor_t x)
{
	const struct fsmoe_cuts *cuts =
		phase == FSMOE_FORWARD ? &moe->forward.cuts : &moe->backward.cuts;

	return fsmoe_hooks_run(&moe->hooks, &moe->layer, place, phase, cuts, i, x);
}

/* Results, or gradients of inputs, of chunks [first, last) back to the ranks of their tokens. */
static void combine(struct moe *moe, enum fsmoe_phase phase, size_t first, size_t last)
{
	const int fwd = phase == FSMOE_FORWARD;
	const size_t n = fwd ? moe->forward.cuts.n : moe->backward.cuts.n;
	fsmoe_tensor_t *chunk = fwd ? moe->returned : moe->dreturned;

	for (size_t i = first; i < last; i++)
	{
		label_chunk(moe->layer.graph, STAGE_COMPUTE, i, n);
		chunk[i] = pass(moe, fwd ? FSMOE_AFTER_COMBINE : FSMOE_BEFORE_DISPATCH, phase, i,
				moe->dispatch->combine(&moe->layer, chunk[i]));
	}
}

/* After chunk i of n was summed over the shards. */
static void send_back(struct moe *moe, enum fsmoe_phase phase, size_t i, size_t n)
{
	if (moe->one_stream)
		combine(moe, phase, i, i + 1);
	else if (i + 1 == n)
		combine(moe, phase, 0, n);
}

/* The chunks' tokens out to the experts' ranks. */
static void send_out(struct moe *moe)
{
	const struct fsmoe_moe_layer *layer = &moe->layer;
	struct fsmoe_cuts cuts = moe->forward.cuts;

	for (size_t i = 0; i < cuts.n; i++)
	{
		fsmoe_tensor_t x;

		label_chunk(layer->graph, STAGE_SEND, i, cuts.n);
		x = moe->order->order(layer, &moe->routing, moe->x, cuts.at[i], cuts.at[i + 1]);
		x = pass(moe, FSMOE_BEFORE_DISPATCH, FSMOE_FORWARD, i, x);
		x = moe->dispatch->send(layer, x);
		label_chunk(layer->graph, STAGE_COMPUTE, i, cuts.n);
		moe->forward.chunk[i].in = pass(moe, FSMOE_AFTER_DISPATCH, FSMOE_FORWARD, i, x);
	}
}

static void forward(struct moe *moe)
{
	const struct fsmoe_moe_layer *layer = &moe->layer;
	struct fsmoe_cuts cuts = moe->forward.cuts;

	send_out(moe);
	for (size_t i = 0; i < cuts.n; i++)
	{
		fsmoe_tensor_t y;

		label_chunk(layer->graph, STAGE_COMPUTE, i, cuts.n);
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

static void weight_gradients(struct moe *moe, const fsmoe_tensor_t *gradient, size_t first,
			     size_t last)
{
	moe->expert->weight_gradients(&moe->layer, moe->weight, gradient, &moe->forward,
				      &moe->backward, first, last);
}

/* A chunk's experts are one stage, as in the systems that the rows are named for: what they give
 * back leaves when their weight gradients are there too. */
static void weight_gradients_first(struct moe *moe, const fsmoe_tensor_t *gradient, size_t i,
				   fsmoe_tensor_t dx)
{
	const int first = moe->layer.graph->nnodes;

	weight_gradients(moe, gradient, i, i + 1);
	fsmoe_graph_delay(moe->layer.graph, first, dx);
}

static void backward_chunks(struct moe *moe, const fsmoe_tensor_t *gradient)
{
	const struct fsmoe_moe_layer *layer = &moe->layer;
	size_t n = moe->backward.cuts.n;

	for (size_t i = 0; i < n; i++)
	{
		fsmoe_tensor_t dx;
		label_chunk(layer->graph, STAGE_COMPUTE, i, n);
		dx = moe->expert->backward(layer, moe->weight, &moe->forward, &moe->backward, i);
		dx = pass(moe, FSMOE_AFTER_DISPATCH, FSMOE_BACKWARD, i, dx);
		if (moe->weights_per_chunk)
			weight_gradients_first(moe, gradient, i, dx);
		moe->dreturned[i] = moe->dispatch->reduce(layer, dx);
		send_back(moe, FSMOE_BACKWARD, i, n);
	}
}

/* The chunks' gradients out to the experts' ranks. */
static void send_gradients(struct moe *moe, fsmoe_tensor_t dy)
{
	const struct fsmoe_moe_layer *layer = &moe->layer;
	struct fsmoe_cuts cuts = moe->backward.cuts;

	for (size_t i = 0; i < cuts.n; i++)
	{
		fsmoe_tensor_t d;

		label_chunk(layer->graph, STAGE_SEND, i, cuts.n);
		d = moe->order->inverse_backward(layer, &moe->routing, dy, cuts.at[i],
						 cuts.at[i + 1]);
		d = pass(moe, FSMOE_AFTER_COMBINE, FSMOE_BACKWARD, i, d);
		d = moe->dispatch->send(layer, d);
		label_chunk(layer->graph, STAGE_COMPUTE, i, cuts.n);
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
	struct moe *moe = *(struct moe *const *)args;
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

/* --- building ----------------------------------------------------------------------------- */

static int check_module(const struct moe *moe, const struct fsmoe_module *module)
{
	return module->check ? module->check(&moe->layer) : 0;
}

static int find_modules(struct moe *moe, const struct fsmoe_moe_spec *spec)
{
	const struct fsmoe_order *fits;

	if (!(moe->gate = fsmoe_gate_find(spec->gate)) ||
	    !(fits = fsmoe_order_for(moe->gate->routing)) ||
	    !(moe->order = spec->order ? fsmoe_order_find(spec->order) : fits) ||
	    !(moe->dispatch = fsmoe_dispatch_find(spec->dispatch)) ||
	    !(moe->expert = fsmoe_expert_find(spec->expert)))
		return -ENOENT;
	if (!(moe->order->routings & 1u << moe->gate->routing))
		return fsmoe_fail(EINVAL,
				  "'%s': order '%s' cannot read what gate '%s' decides: take order "
				  "'%s'",
				  spec->name, moe->order->module.name, moe->gate->module.name,
				  fits->module.name);
	return check_module(moe, &moe->gate->module) || check_module(moe, &moe->order->module) ||
			       check_module(moe, &moe->dispatch->module) ||
			       check_module(moe, &moe->expert->module)
		       ? -EINVAL
		       : 0;
}

/* What a gate says of itself against what is asked of it. */
static int check_gate(const struct moe *moe, const struct fsmoe_moe_spec *spec)
{
	const struct fsmoe_gate_opts *o = &spec->gate_opts;
	const char *gate = moe->gate->module.name;
	unsigned asked = (o->balance_loss != 0 ? FSMOE_LOSS_BALANCE : 0u) |
			 (o->importance_loss != 0 ? FSMOE_LOSS_IMPORTANCE : 0u) |
			 (o->z_loss != 0 ? FSMOE_LOSS_Z : 0u);

	if (asked & ~moe->gate->losses)
		return fsmoe_fail(EINVAL,
				  "'%s': gate '%s' has no %s loss: leave it away, or take another "
				  "gate",
				  spec->name, gate,
				  asked & ~moe->gate->losses & FSMOE_LOSS_BALANCE ? "balance"
				  : asked & ~moe->gate->losses & FSMOE_LOSS_IMPORTANCE
					  ? "importance"
					  : "z");
	if (spec->causal && !spec->allow_leak && moe->gate->causal == FSMOE_NOT_CAUSAL)
		return fsmoe_fail(EINVAL,
				  "'%s': gate '%s' looks at later tokens, which a causal model "
				  "must not know: take another gate, or allow the leak",
				  spec->name, gate);
	return 0;
}

static void clear(fsmoe_tensor_t *tensor, size_t n)
{
	for (size_t i = 0; i < n; i++)
		tensor[i] = FSMOE_NONE;
}

/* Room for what the chunks of a pass keep. */
static int make_pass(fsmoe_graph_t graph, size_t slots, int degree, struct fsmoe_expert_pass *pass,
		     fsmoe_tensor_t **returned)
{
	pass->cuts = fsmoe_moe_cuts(graph, slots, degree);
	pass->chunk = fsmoe_graph_alloc(graph, pass->cuts.n * sizeof(*pass->chunk));
	*returned = fsmoe_graph_alloc(graph, pass->cuts.n * sizeof(**returned));
	if (pass->cuts.n == 0 || !pass->chunk || !*returned)
		return fsmoe_graph_status(graph);
	for (size_t i = 0; i < pass->cuts.n; i++)
	{
		pass->chunk[i].in = FSMOE_NONE;
		clear(pass->chunk[i].saved, FSMOE_EXPERT_SAVED);
	}
	return 0;
}

/* Chunks of a pass: as the graph was told for this label of layer; one where the schedule has just
 * one; else as the layer asks. */
static int degree_of(int told, enum fsmoe_degree_rule rule, int asked)
{
	return told ? told : rule == FSMOE_DEGREE_ONE ? 1 : asked;
}

static int make_passes(struct moe *moe, fsmoe_graph_t graph, const struct fsmoe_moe_spec *spec)
{
	const struct fsmoe_schedule *row = fsmoe_graph_schedule(graph);
	const size_t slots = moe->layer.slots;
	struct fsmoe_layer_cuts none = {0}, *cuts = fsmoe_graph_cuts(graph, graph->labels.layer);
	int err;

	cuts = cuts ? cuts : &none;
	if (!cuts->slots || slots < (size_t)cuts->slots)
		cuts->slots = slots < INT_MAX ? (int)slots : INT_MAX;
	err = make_pass(graph, slots,
			degree_of(cuts->forward, row->forward_degree, spec->forward_degree),
			&moe->forward, &moe->returned);
	return err ? err
		   : make_pass(
			     graph, slots,
			     degree_of(cuts->backward, row->backward_degree, spec->backward_degree),
			     &moe->backward, &moe->dreturned);
}

static int make(struct moe *moe, fsmoe_graph_t graph, fsmoe_tensor_t x,
		const struct fsmoe_moe_spec *spec)
{
	const struct fsmoe_schedule *schedule = fsmoe_graph_schedule(graph);
	int err;

	moe->x = x;
	moe->y = FSMOE_NONE;
	if ((err = fsmoe_moe_layer_init(&moe->layer, graph, x, spec)) ||
	    (err = find_modules(moe, spec)) || (err = check_gate(moe, spec)) ||
	    (err = make_passes(moe, graph, spec)) ||
	    (err = fsmoe_hooks_init(&moe->hooks, graph, spec)))
		return err;
	moe->one_stream = schedule->gather_lane == schedule->alltoall_lane;
	moe->weights_per_chunk = schedule->weight_gradients == FSMOE_WEIGHT_GRADIENTS_PER_CHUNK;
	moe->routing = (struct fsmoe_routing){
		moe->gate->routing, 0,          FSMOE_NONE, FSMOE_NONE, FSMOE_NONE, FSMOE_NONE,
		FSMOE_NONE,         FSMOE_NONE, FSMOE_NONE, FSMOE_NONE, FSMOE_NONE, FSMOE_NONE};
	clear(moe->weight, FSMOE_EXPERT_WEIGHTS);
	return 0;
}

fsmoe_tensor_t fsmoe_moe(fsmoe_graph_t graph, fsmoe_tensor_t x, const struct fsmoe_moe_spec *spec)
{
	const struct fsmoe_labels labels = graph->labels;
	struct moe *moe;
	int err;

	if (graph->status || x == FSMOE_NONE)
		return FSMOE_NONE;
	moe = fsmoe_graph_alloc(graph, sizeof(*moe));
	if (!moe)
		return FSMOE_NONE;
	err = make(moe, graph, x, spec);
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
