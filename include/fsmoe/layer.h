/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_LAYER_H
#define FSMOE_LAYER_H

#include <fsmoe/op.h>
#include <fsmoe/ops.h>

/* What the modules of a Mixture-of-Experts layer (fsmoe/module.h) are told of it, and what each of
 * them begins with. */

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
	const char *name;             /* prefix of its parameters' names */
	size_t hidden_size, ffn_size; /* M, H of the whole expert */
	size_t rows;                  /* tokens of this rank, T */
	size_t group, groups;         /* tokens of a routing group; how many groups */
	size_t capacity;              /* slots of a group per expert, C */
	size_t slots;                 /* groups * capacity: slots per expert and source rank */
	size_t experts, top_k;        /* in all; per token */
	size_t local_experts;         /* experts / ep */
	size_t sources;               /* ep * esp: ranks whose tokens reach an expert */
	int ep, ep_rank, esp, esp_rank;
	double init_scale, output_scale; /* of the weights; of an expert's last matrix */
	/* How far apart a gate's scores start, over what it would choose; init_scale times that. */
	double gate_init_scale, gate_scale;
	double loss_scale; /* of one token's share of an auxiliary loss */
	enum fsmoe_drop drop_policy;
	enum fsmoe_weights routing_weights;
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

#ifdef __cplusplus
}
#endif
#endif
