/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_FLOPS_H
#define FSMOE_TRAIN_FLOPS_H

#include <fsmoe/graph.h>

/*
 * Floating-point operations of a training step's matrix products, forward and backward: the
 * numerator of MFU. Norms, gates, the optimizer and everything else that is bound by memory is not
 * counted, nor is the padding of experts.
 */
struct fsmoe_flops
{
	double dense;  /* of this rank: linear maps and attention */
	double expert; /* of this rank's experts, were all their slots taken */
	double slots;  /* of this rank's share of them, over all layers and micro-batches */
};

void fsmoe_flops_count(fsmoe_graph_t graph, struct fsmoe_flops *flops);

/* Of the whole job: `kept` choices of tokens reached their experts, of all `ranks` together. */
double fsmoe_flops_routed(const struct fsmoe_flops *flops, int ranks, double kept);

#endif
