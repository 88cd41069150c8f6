/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_GATE_LOSS_H
#define FSMOE_GATE_LOSS_H

#include "codelets/kernels.h"

/*
 * Auxiliary losses of a gate (GShard, arXiv 2006.16668), of every routing group of S tokens apart,
 * since a group never holds more than one sequence:
 *
 *   loss (1) = sum over groups of  balance    S E sum_e m_e c_e
 *                                + importance S (CV^2(I) + CV^2(L)) / 2
 *                                + z          sum_s logsumexp_s^2
 *
 * p = softmax(logits); m_e the mean of p_e, c_e the share of tokens whose first choice is e, I_e
 * the sum of p_e. L_e sums the chance that another draw of the noise would have chosen e:
 * Phi((logit - the k-th greatest noisy logit among the others) / deviation), 1 when k = E (Shazeer
 * et al. 2017, appendix A). CV^2(v) = mean(v^2) / mean(v)^2 - 1, with the variance over E, not
 * E - 1. Without noise the deviation is 1 / E, which is Tutel's.
 *
 * logits, noisy, deviation (T, E), the last two both or neither; expert int32 (T, width), needed
 * for balance alone, which has no gradient through it.
 */
struct fsmoe_gate_loss_args
{
	double balance, importance, z; /* weights with everything in them */
	size_t group, topk;
};

extern const struct fsmoe_op fsmoe_op_gate_loss;
extern const struct fsmoe_op fsmoe_op_gate_loss_backward;

FSMOE_KERNELS(gate_loss);
FSMOE_KERNELS(gate_loss_backward);

struct fsmoe_gate_loss_inputs
{
	fsmoe_tensor_t logits, noisy, deviation, expert;
};

fsmoe_tensor_t fsmoe_gate_loss(fsmoe_graph_t graph, const struct fsmoe_gate_loss_inputs *in,
			       const struct fsmoe_gate_loss_args *args);

#endif
