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

/* Counts the tokens of a step's experts. All local: the caller adds up the numbers of all ranks,
 * between count and read. Graph, memory and program must outlive the counter. */
struct fsmoe_expert_counter;

int fsmoe_expert_counter_create(struct fsmoe_expert_counter **counter, fsmoe_graph_t graph,
				fsmoe_memory_t memory, fsmoe_program_t program);
void fsmoe_expert_counter_destroy(struct fsmoe_expert_counter *counter);      /* NULL is legal */
size_t fsmoe_expert_counter_size(const struct fsmoe_expert_counter *counter); /* in numbers */
/* Sets this rank's numbers after a step. */
int fsmoe_expert_counter_count(struct fsmoe_expert_counter *counter, double *numbers);
/* Reads the load off the sum over ranks, which must outlive *load. */
void fsmoe_expert_counter_read(struct fsmoe_expert_counter *counter, const double *sum,
			       struct fsmoe_expert_load *load);

#endif
