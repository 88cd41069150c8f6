/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MODULE_H
#define FSMOE_MODULE_H

#include <fsmoe/gate.h>
#include <fsmoe/hook.h>
#include <fsmoe/layer.h>

/*
 * The replaceable parts of a Mixture-of-Experts layer. There are six in a layer and four kinds
 * here, since what goes out comes back: a dispatch is also the combine, an order also its inverse.
 *
 *   gate      scores tokens, picks experts and slots: fills a struct fsmoe_routing
 *   order     tokens -> slots of a chunk, and slots of all chunks -> tokens
 *   dispatch  slots -> the ranks that hold their experts, and results back
 *   expert    the network itself
 *
 * A variant is a constant struct of functions that append nodes to a graph, in one file, and a
 * line in the lists of src/moe/modules.h; outside of the library, one call of a register function.
 * src/moe/gate/topk.c and its sisters are the examples.
 *
 * Protocol. Everything here is called while a graph is built, on the building thread, never on a
 * worker. r chunks forward and s backward cut the slots at [at[0] = 0, ..., at[n] = slots]; r and s
 * differ. For one layer the order of calls is
 *
 *   forward   gate, order and expert `module.check`; expert.weights; gate.forward;
 *             order.prepare; maybe dispatch.count;
 *             for each chunk order.order, dispatch.send;
 *             for each chunk expert.forward, dispatch.reduce;
 *             for each chunk dispatch.combine (1);
 *             order.inverse
 *   backward  for each chunk order.inverse_backward, dispatch.send;
 *             order.routing_backward;
 *             for each chunk expert.backward, dispatch.reduce, maybe expert.weight_gradients of
 *             that chunk;
 *             for each chunk dispatch.combine (1);
 *             order.order_backward; maybe expert.weight_gradients of all chunks
 *
 * (1) right after the chunk's dispatch.reduce where the graph's schedule has one communication
 * stream. Hooks (fsmoe/hook.h) are called in between, and every rank makes the same calls. What a
 * gate and order.prepare append is differentiated node by node, by the `grad` of its rows; only
 * what lies between a routing and the layer's output is laid out by hand, in chunks. Names, labels
 * of layer, phase, micro-batch, chunk and priority are set by the caller. The order of nodes on a
 * communication lane is the order in which they are appended. A function reports a failure through
 * the graph (a check function of an operation that fails does that); it then returns FSMOE_NONE,
 * and so does everything after it. Pointers handed in are valid during the call and live as long as
 * the graph; tensors belong to the graph. No function may be NULL unless its comment says so.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* --- order ------------------------------------------------------------------------------- */

struct fsmoe_order
{
	struct fsmoe_module module;
	unsigned routings; /* 1 << enum fsmoe_routing_kind of each kind it reads */
	int by_rows;       /* 1: goes by layer->taken, and neither reads nor writes other slots */
	/* Once, before anything else: may append nodes that turn the routing into what this
	 * order reads, and fill empty fields of the routing. NULL: nothing to do. */
	void (*prepare)(const struct fsmoe_moe_layer *layer, struct fsmoe_routing *routing);
	/* x (T, M) -> (E, hi - lo, M): the slots [lo, hi) of every expert, zeros where
	 * nobody is. */
	fsmoe_tensor_t (*order)(const struct fsmoe_moe_layer *layer,
				const struct fsmoe_routing *routing, fsmoe_tensor_t x, size_t lo,
				size_t hi);
	/* Chunks (E, c_i, M) of all slots -> y (T, M), weighted. Must not depend on cuts. */
	fsmoe_tensor_t (*inverse)(const struct fsmoe_moe_layer *layer,
				  const struct fsmoe_routing *routing, struct fsmoe_cuts cuts,
				  const fsmoe_tensor_t *chunk);
	/* dy (T, M) -> gradient of the slots [lo, hi): (E, hi - lo, M). */
	fsmoe_tensor_t (*inverse_backward)(const struct fsmoe_moe_layer *layer,
					   const struct fsmoe_routing *routing, fsmoe_tensor_t dy,
					   size_t lo, size_t hi);
	/* The inverse's part of the routing's gradient, from dy and the chunks it read. */
	void (*routing_backward)(const struct fsmoe_moe_layer *layer,
				 const struct fsmoe_routing *routing, fsmoe_tensor_t dy,
				 struct fsmoe_cuts cuts, const fsmoe_tensor_t *chunk,
				 struct fsmoe_routing_grad *grad);
	/* Gradients of the order's chunks -> gradient of x (T, M); may add to `grad`. */
	fsmoe_tensor_t (*order_backward)(const struct fsmoe_moe_layer *layer,
					 const struct fsmoe_routing *routing, fsmoe_tensor_t x,
					 struct fsmoe_cuts cuts, const fsmoe_tensor_t *dchunk,
					 struct fsmoe_routing_grad *grad);
};

/* --- dispatch ---------------------------------------------------------------------------- */

/* Serves forward and backward alike: combine(reduce(.)) is the transpose of send(.), so
 * gradients of results travel by `send` and gradients of inputs come back by the other two.
 * Every call is collective over the groups it uses. The order of the sources of an arrived
 * chunk is the dispatch's own and always the same. */
struct fsmoe_dispatch
{
	struct fsmoe_module module;
	/* (E, c, M) -> (sources, local_experts, c, M) on every rank of a shard group. */
	fsmoe_tensor_t (*send)(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t chunk);
	/* (sources, local_experts, c, M), partial sums of one shard -> their sum over the
	 * shard group, cut as `combine` likes it. */
	fsmoe_tensor_t (*reduce)(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t partial);
	/* What `reduce` returned -> (E, c, M), on the rank whose tokens they are. */
	fsmoe_tensor_t (*combine)(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t reduced);
	/* Before the first chunk: fills layer->taken from taken.sent, after which the other three
	 * go by it. NULL: this dispatch sends all slots. */
	void (*count)(const struct fsmoe_moe_layer *layer, struct fsmoe_taken *taken);
};

/* --- expert ------------------------------------------------------------------------------ */

#define FSMOE_EXPERT_WEIGHTS 8
#define FSMOE_EXPERT_SAVED   4

/* One chunk of a pass: forward what arrived and what is saved for later; backward the
 * gradient that arrived and what is saved for the weights' gradients. */
struct fsmoe_expert_chunk
{
	fsmoe_tensor_t in; /* (sources, local_experts, c, M) */
	fsmoe_tensor_t saved[FSMOE_EXPERT_SAVED];
};

struct fsmoe_expert_pass
{
	struct fsmoe_cuts cuts;
	struct fsmoe_expert_chunk *chunk; /* cuts.n of them */
};

/* The cuts of the two passes differ: an activation is found by (source, local expert, slot)
 * through the forward cuts, a gradient through the backward cuts. */
struct fsmoe_expert
{
	struct fsmoe_module module;
	int by_rows; /* as an order's */
	/* Makes this rank's part of the parameters: weight[FSMOE_EXPERT_WEIGHTS], unused
	 * ones stay FSMOE_NONE. */
	void (*weights)(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t *weight);
	/* chunk->in -> the output, partial over the shards of an expert; fills
	 * chunk->saved. */
	fsmoe_tensor_t (*forward)(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
				  struct fsmoe_expert_chunk *chunk);
	/* backward->chunk[i].in -> the gradient of the input, partial over the shards;
	 * fills backward->chunk[i].saved. Every chunk of `forward` is filled. */
	fsmoe_tensor_t (*backward)(const struct fsmoe_moe_layer *layer,
				   const fsmoe_tensor_t *weight,
				   const struct fsmoe_expert_pass *forward,
				   struct fsmoe_expert_pass *backward, size_t i);
	/* Adds the part of the backward chunks [first, last) to the gradients of the
	 * weights; gradient[i] is FSMOE_NONE where nobody wants weight[i]'s. */
	void (*weight_gradients)(const struct fsmoe_moe_layer *layer, const fsmoe_tensor_t *weight,
				 const fsmoe_tensor_t *gradient,
				 const struct fsmoe_expert_pass *forward,
				 const struct fsmoe_expert_pass *backward, size_t first,
				 size_t last);
};

/* What experts are made of: the parameter "<layer>.experts.<name>" of all experts, global.dim[0] of
 * them, of which this rank holds its own. `shard` is the dimension that is cut over the shards of
 * an expert, 0: none is. scale 0: it begins at zero. Three dimensions: matrices, which decay. */
fsmoe_tensor_t fsmoe_expert_param(const struct fsmoe_moe_layer *layer, const char *name,
				  struct fsmoe_shape global, int shard, double scale);

/* --- names ------------------------------------------------------------------------------- */

enum fsmoe_module_kind
{
	FSMOE_MODULE_GATE,
	FSMOE_MODULE_ORDER,
	FSMOE_MODULE_DISPATCH,
	FSMOE_MODULE_EXPERT,
	FSMOE_NMODULES
};

struct fsmoe_module_info
{
	const char *name, *doc;
};

/* Names and lines of every module of a kind, built-in ones first, the default at the head.
 * *n is capacity in, total out; infos may be NULL when *n is 0. */
int fsmoe_module_list(enum fsmoe_module_kind kind, struct fsmoe_module_info *infos, int *n);
const char *fsmoe_module_kind_name(enum fsmoe_module_kind kind); /* "gate", ... */

/* By name; NULL name: the default. NULL when absent; the sentence names those there are. */
const struct fsmoe_gate *fsmoe_gate_find(const char *name);
const struct fsmoe_order *fsmoe_order_find(const char *name);
const struct fsmoe_dispatch *fsmoe_dispatch_find(const char *name);
const struct fsmoe_expert *fsmoe_expert_find(const char *name);

/* Adds a module, kept by reference for the life of the process. Before any graph is built,
 * one thread at a time. -EEXIST: the name is taken; -EINVAL: another abi, or no name;
 * -ENOSPC: too many. */
int fsmoe_gate_register(const struct fsmoe_gate *gate);
int fsmoe_order_register(const struct fsmoe_order *order);
int fsmoe_dispatch_register(const struct fsmoe_dispatch *dispatch);
int fsmoe_expert_register(const struct fsmoe_expert *expert);

#ifdef __cplusplus
}
#endif
#endif
