/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_EXPERT_LOAD_H
#define FSMOE_TRAIN_EXPERT_LOAD_H

#include <fsmoe/runtime.h>
#include <stddef.h>

/* How many tokens each expert got in a step, over all ranks. */
struct fsmoe_expert_load
{
	double routed, dropped;               /* choices of tokens, over all layers */
	double load_min, load_mean, load_max; /* tokens kept by an expert of a layer */
	/* Balance of the experts, 0 to 1: -sum p log p / log E over the shares p of a layer's kept
	 * tokens that its E experts have, averaged over layers. */
	double entropy;
	/* Tokens kept by the experts of each expert-parallel rank, over all layers and all copies
	 * of these; the counter's, until the next count. */
	const double *rank_load;
	int ranks;
	/* Tokens kept by layer and expert, layer after layer; experts 0: layers differ in them. */
	const double *expert_load;
	int layers, experts;
};

/* The entropy of one layer; 1 for a single expert, 0 without any token. */
double fsmoe_load_entropy(const double *load, size_t experts);

/* Counts the tokens of a step's experts. Graph, memory, program and world must outlive it. */
struct fsmoe_expert_counter;
struct fsmoe_comm; /* comm/comm.h */

int fsmoe_expert_counter_create(struct fsmoe_expert_counter **counter, fsmoe_graph_t graph,
				fsmoe_memory_t memory, fsmoe_program_t program,
				struct fsmoe_comm *world);
void fsmoe_expert_counter_destroy(struct fsmoe_expert_counter *counter); /* NULL is legal */
/* Adds up the counts of all ranks after a step, and a number of the caller's in the same exchange.
 * Collective over the job. */
int fsmoe_expert_counter_add_up(struct fsmoe_expert_counter *counter, double number,
				double *numbers, struct fsmoe_expert_load *load);

#endif
