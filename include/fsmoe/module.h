/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_MODULE_H
#define FSMOE_MODULE_H

#include <fsmoe/op.h>
#include <fsmoe/ops.h>

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
 * line in the lists of src/moe/modules.c; outside of the library, one call of a register function.
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
 * stream. Hooks (at the end of this file) are called in between,
 * and every rank makes the same calls. What a gate and order.prepare append is differentiated node
 * by node, by the `grad` of its rows; only what lies between a routing and the layer's output is
 * laid out by hand, in chunks. Names, labels of layer, phase, micro-batch, chunk and
 * priority are set by the caller. The order of nodes on a communication lane is the order in which
 * they are appended. A function reports a failure through the graph (a check function of an
 * operation that fails does that); it then returns FSMOE_NONE, and so does everything after it.
 * Pointers handed in are valid during the call and live as long as the graph; tensors belong to
 * the graph. No function may be NULL unless its comment says so.
 */

#ifdef __cplusplus
extern "C" {
#endif

#define FSMOE_MODULE_ABI 3

/* Who gives way when more tokens want an expert than it has slots. */
enum fsmoe_drop
{
	FSMOE_DROP_POSITION,    /* later choices, of equal ones later tokens, as Tutel and GShard */
	FSMOE_DROP_PROBABILITY, /* smaller weights; of equals the later, as above */
	FSMOE_DROP_TOKEN,       /* later tokens, whichever choice: nobody sees who comes later */
};

/* What a chosen expert's weight is made of. */
enum fsmoe_weights
{
	FSMOE_WEIGHTS_DEFAULT, /* as the gate likes it */
	FSMOE_WEIGHTS_CHOSEN,  /* softmax over what was chosen together: adds up to 1 */
	FSMOE_WEIGHTS_ALL,     /* the entry of the softmax over all experts */
	FSMOE_WEIGHTS_SIGMOID, /* of the score */
};

/* Which slots of the chunk at hand hold a row, where the layer drops nothing and its modules can
 * tell: of group g and expert e the first counts[g][e] of the group's slots. Then only those rows
 * are sent and computed, and the others hold anything. */
struct fsmoe_taken
{
	int by_rows;         /* 0: every slot holds a row, and there are no counts */
	size_t lo, hi;       /* the chunk's slots, set before each call */
	fsmoe_tensor_t sent; /* int32 (groups, E): rows of this rank's tokens */
	/* int32 (esp * groups, E): of what reaches this rank's experts, sent by rank p of the EP
	 * group in columns [p * local_experts, (p + 1) * local_experts). */
	fsmoe_tensor_t arrived;
	fsmoe_tensor_t between[2]; /* the dispatch's own: after its first stage, out and back */
};

/* The layer that a module works for. */
struct fsmoe_moe_layer
{
	fsmoe_graph_t graph;
	const char *name;         /* prefix of its parameters' names */
	size_t model_dim, hidden; /* M, H of the whole expert */
	size_t rows;              /* tokens of this rank, T */
	size_t group, groups;     /* tokens of a routing group; how many groups */
	size_t capacity;          /* slots of a group per expert, C */
	size_t slots;             /* groups * capacity: slots per expert and source rank */
	size_t experts, topk;     /* in all; per token */
	size_t local_experts;     /* experts / ep */
	size_t sources;           /* ep * esp: ranks whose tokens reach an expert */
	int ep, ep_rank, esp, esp_rank;
	double init_scale, output_scale; /* of the weights; of an expert's last matrix */
	/* How far apart a gate's scores start, over what it would choose; init_scale times that. */
	double gate_spread, gate_scale;
	double loss_scale; /* of one token's share of an auxiliary loss */
	enum fsmoe_drop drop;
	enum fsmoe_weights weights;
	struct fsmoe_gate_opts opts; /* drop and weights already read */
	struct fsmoe_expert_opts expert_opts;
	struct fsmoe_token_map tokens; /* with span > 0 */
	struct fsmoe_taken taken;
};

/* n pieces of the slots: piece i is [at[i], at[i + 1]). */
struct fsmoe_cuts
{
	size_t n;
	const size_t *at;
};

/* What every module begins with. */
struct fsmoe_module
{
	int abi;          /* FSMOE_MODULE_ABI */
	const char *name; /* short, lower case */
	const char *doc;  /* one line */
	/* May refuse a layer with fsmoe_fail(...), before anything is appended; NULL:
		 * never. */
	int (*check)(const struct fsmoe_moe_layer *layer);
};

/* --- gate -------------------------------------------------------------------------------
 */

/* How a gate tells what goes where. An order says in its check which kinds it reads. */
enum fsmoe_routing_kind
{
	FSMOE_ROUTING_LISTS, /* of every token a few (expert, slot, weight) */
	FSMOE_ROUTING_DENSE, /* matrices tokens x slots: every slot a mix of tokens */
};

/* What a gate decides. Everything that follows reads this record and nothing else of the gate. Its
 * reals are FSMOE_WIDE. */
struct fsmoe_routing
{
	enum fsmoe_routing_kind kind;
	/* Lists, all (T, width): width is k for token-choice gates; a gate whose experts
	 * choose has width E and slot -1 where an expert did not want the token. Slots of
	 * one expert are numbered group * C + position; -1 is dropped. Two entries never
	 * name the same slot of the same expert. */
	size_t width;
	fsmoe_tensor_t expert, slot; /* int32 */
	fsmoe_tensor_t weight;
	/* Dense, both (T, E * C): column e * C + p is position p of expert e in the token's own
	 * group. Of dispatch a group's columns add up to 1, of combine the rows. */
	fsmoe_tensor_t dispatch, combine;
	/* int32 (groups, E): tokens kept; a group's first slots of the expert are theirs.
	 * FSMOE_NONE: every slot is used. */
	fsmoe_tensor_t counts;
	/* For losses and router health, all (T, E), FSMOE_NONE where there is none: scores
	 * before a softmax and before noise; softmax of them; scores with noise; the
	 * deviation of the noise. */
	fsmoe_tensor_t logits, probs, noisy, deviation;
};

/* Gradients of a routing; FSMOE_NONE: zero. */
struct fsmoe_routing_grad
{
	fsmoe_tensor_t weight, dispatch, combine;
};

/* Whether a token's output can depend on later tokens of its group. */
enum fsmoe_causal
{
	FSMOE_CAUSAL,
	/* Only the competition for slots looks ahead; with FSMOE_DROP_TOKEN not even that. */
	FSMOE_CAUSAL_WITHOUT_DROPS,
	FSMOE_NOT_CAUSAL,
};

/* Auxiliary losses, as bits: which of them mean something for a gate. */
enum fsmoe_gate_loss
{
	FSMOE_LOSS_BALANCE = 1,    /* needs logits, and expert[0] as the first choice */
	FSMOE_LOSS_IMPORTANCE = 2, /* needs logits, and a choice of topk experts by them */
	FSMOE_LOSS_Z = 4,          /* needs logits */
};

/* What of struct fsmoe_gate_opts a gate reads, as bits; what it does not read is refused. */
enum fsmoe_gate_option
{
	FSMOE_GATE_DROP = 1,    /* fsmoe_gate_choose reads this one and the next, */
	FSMOE_GATE_WEIGHTS = 2, /* fsmoe_gate_choose_tokens the next */
	FSMOE_GATE_RANK = 4,
	FSMOE_GATE_NORMALIZE = 8,
};

struct fsmoe_gate
{
	struct fsmoe_module module;
	enum fsmoe_causal causal;
	enum fsmoe_routing_kind routing;
	unsigned losses;  /* of enum fsmoe_gate_loss */
	unsigned options; /* of enum fsmoe_gate_option */
	/* x (T, M). Makes the gate's parameters, appends its nodes, fills the routing,
	 * which comes with every tensor FSMOE_NONE and the kind set. Gradients reach weight,
	 * dispatch, combine, and what the losses read. */
	void (*forward)(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t x,
			struct fsmoe_routing *routing);
};

/* What gates are made of, besides every other operation of fsmoe/ops.h. */

/* The parameter "<layer>.gate.<name>", held whole by every rank. */
fsmoe_tensor_t fsmoe_gate_param(const struct fsmoe_moe_layer *layer, const char *name,
				struct fsmoe_shape shape, enum fsmoe_init init, double scale);
/* x (T, I), w (E, I) -> (T, E): x w^T with the additions of a product in an order that depends
 * on I alone, so that ties and near-ties fall the same way on every layout. */
fsmoe_tensor_t fsmoe_gate_logits(fsmoe_graph_t graph, fsmoe_tensor_t x, fsmoe_tensor_t w);
/* score (T, E) -> the lists and counts of a routing: every token takes the topk experts of
 * the greatest scores, of equals the lower number, weighs them as the layer says or by
 * `weights`, and gets slots as the layer's drop policy has it. Scores that are not finite fail
 * the step. */
void fsmoe_gate_choose(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t score,
		       enum fsmoe_weights weights, struct fsmoe_routing *routing);
/* The same the other way round: every expert takes the C tokens of a group with the greatest
 * scores, of equals the earlier. */
void fsmoe_gate_choose_tokens(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t score,
			      enum fsmoe_weights weights, struct fsmoe_routing *routing);

/* --- order ------------------------------------------------------------------------------
 */

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
	/* Chunks (E, c_i, M) of all slots -> y (T, M), weighted. Must not depend on cuts.
		 */
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

/* --- dispatch ---------------------------------------------------------------------------
 */

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
	/* Before the first chunk: fills layer->taken from taken.sent, after which the other three go
	 * by it. NULL: this dispatch sends all slots. */
	void (*count)(const struct fsmoe_moe_layer *layer, struct fsmoe_taken *taken);
};

/* --- expert -----------------------------------------------------------------------------
 */

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
 * them, of which this rank holds its own. `shard` is the dimension that is cut over the shards of an
 * expert, 0: none is. scale 0: it begins at zero. Three dimensions: matrices, which decay. */
fsmoe_tensor_t fsmoe_expert_param(const struct fsmoe_moe_layer *layer, const char *name,
				  struct fsmoe_shape global, int shard, double scale);

/* --- hooks ------------------------------------------------------------------------------
 */

/*
 * What else may be done on the way of a layer, in six places. A hook is given the tensor that
 * passes by and returns what passes on: the same tensor, or another one of the same shape, made by
 * nodes that it appends. T tokens of this rank; chunks of c slots:
 *
 *   place              passes by                        called
 *   before-moe-start   x (T, M), before the gate        once a layer
 *   before-dispatch    (E, c, M), after the order       a chunk
 *   after-dispatch     (sources, local_experts, c, M)   a chunk, before any expert
 *   before-combine     the expert's output, partial     a chunk
 *                      over the shards: that shape
 *   after-combine      (E, c, M), before the inverse    a chunk
 *   before-moe-end     y (T, M)                         once a layer
 *
 * Backward. What the first and the last append is differentiated node by node, like a gate. The
 * four others lie in the part that is laid out in chunks, so a hook there brings its backward: it
 * is given the gradient of what `forward` returned, of a chunk of the backward, and returns that of
 * what it was given, in the same shape. Gradients meet the places in reverse:
 *
 *   after-combine      (E, c, M), before it is sent to the experts' ranks
 *   before-combine     (sources, local_experts, c, M), arrived
 *   after-dispatch     that shape, gradient of the expert's input, partial over the shards
 *   before-dispatch    (E, c, M), back on the rank of the tokens
 *
 * The chunks of the two passes are cut differently, so a backward can not be given what its forward
 * saw; call->lo and hi say which slots a chunk holds. With `backward` NULL where `forward` is not,
 * a layer is refused: a hook that lets gradients pass says so by returning what it is given.
 * `forward` NULL: values pass. Several hooks at one place are called in the order of the list, their
 * backwards in reverse order. A hook that is not linear must not be put where sums are still
 * partial, unless there is one shard. Everything is called while the graph is built.
 */
enum fsmoe_hook_place
{
	FSMOE_BEFORE_MOE_START,
	FSMOE_BEFORE_DISPATCH,
	FSMOE_AFTER_DISPATCH,
	FSMOE_BEFORE_COMBINE,
	FSMOE_AFTER_COMBINE,
	FSMOE_BEFORE_MOE_END,
	FSMOE_NHOOKS
};

struct fsmoe_hook_call
{
	const struct fsmoe_moe_layer *layer;
	enum fsmoe_hook_place place;
	enum fsmoe_phase phase; /* FSMOE_FORWARD or FSMOE_BACKWARD */
	size_t chunk, chunks;   /* of this pass; 0 of 1 at the first and the last place */
	size_t lo, hi;          /* the chunk's slots; 0, 0 there */
};

typedef fsmoe_tensor_t (*fsmoe_hook_fn)(const struct fsmoe_hook_call *call, fsmoe_tensor_t x,
					void *arg);

struct fsmoe_hook
{
	const char *name; /* for sentences */
	enum fsmoe_hook_place place;
	fsmoe_hook_fn forward, backward;
	void *arg; /* handed on; must live until the backward is built */
};

const char *fsmoe_hook_place_name(enum fsmoe_hook_place place); /* "before-dispatch", ... */

/* --- names ------------------------------------------------------------------------------
 */

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
