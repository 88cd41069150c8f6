/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_FLOPS_H
#define FSMOE_TRAIN_FLOPS_H

#include <fsmoe/graph.h>

/* Floating-point operations of a training step's matrix products, forward and backward: the
 * numerator of MFU. Work that memory bounds (norms, gates, the optimizer) does not count, nor does
 * the padding of experts. */
struct fsmoe_flops
{
	double dense;  /* this rank's linear maps and attention */
	double expert; /* this rank's experts, with all their slots taken */
	double slots;  /* this rank's share of them, over all layers and micro-batches */
};

void fsmoe_flops_count(fsmoe_graph_t graph, struct fsmoe_flops *flops);

/* Operations of the whole job, if `kept` choices of tokens reached their experts on all ranks. */
double fsmoe_flops_routed(const struct fsmoe_flops *flops, int ranks, double kept);

#endif
