/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GATE_H
#define FSMOE_GATE_H

#include <fsmoe/layer.h>

/* The module of a Mixture-of-Experts layer that decides which tokens go to which experts, and the
 * record of what it decided. fsmoe/module.h says when it is called. */

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif
#endif
