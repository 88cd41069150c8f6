/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_EXPERT_GPT_H
#define FSMOE_EXPERT_GPT_H

#include "codelets/kernels.h"

#include <fsmoe/module.h>

/*
 * The two-layer network of every local expert, on one chunk of slots as it arrives:
 *
 *   z = x w1^T + b1,  y = gelu(z) w2^T + b2
 *
 * x, y (P, E, c, M) and z (P, E, c, H): P sources, E local experts, c slots. w1 (E, H, M), b1 (E,
 * H), w2 (E, M, H), b2 (E, M). H is this rank's part of the hidden size; y is then a partial sum,
 * and only one rank of a shard group gives b2.
 *
 * Backward is two operations because they have different readers. backward_input gives dx, which
 * travels on, and dz, which stays: dz = (dy w2) gelu'(z), dx = dz w1. backward_weight can wait:
 * dw1 += dz^T x, db1 += sum dz, dw2 += dy^T gelu(z), db2 += sum dy.
 *
 * Backward chunks need not be the forward ones: x and z are found by (source, expert, slot)
 * through the forward cuts. backward_weight adds rows up in blocks of (source, slot) order, copied
 * together from wherever they lie, so that its result depends on which slots a node covers and not
 * on how they were cut, forward or backward.
 */

/* Forward pieces of [lo, hi) that z is read from: the first may begin before lo. */
struct fsmoe_expert_input_args
{
	size_t lo, hi, n;
	size_t at[]; /* n + 1 */
};

/* The slots that a node of backward_weight covers are those of its backward pieces. */
struct fsmoe_expert_weight_args
{
	size_t forward, backward; /* numbers of pieces */
	size_t at[];              /* forward + 1 cut points, then backward + 1 */
};

extern const struct fsmoe_op fsmoe_op_expert_gpt;
extern const struct fsmoe_op fsmoe_op_expert_gpt_backward_input;
extern const struct fsmoe_op fsmoe_op_expert_gpt_backward_weight;

FSMOE_KERNELS(expert_gpt);
FSMOE_KERNELS(expert_gpt_backward_input);
FSMOE_KERNELS(expert_gpt_backward_weight);

enum fsmoe_expert_gpt_weight
{
	FSMOE_GPT_W1,
	FSMOE_GPT_B1,
	FSMOE_GPT_W2,
	FSMOE_GPT_B2, /* FSMOE_NONE: another rank adds it */
	FSMOE_GPT_WEIGHTS
};

/* saved[0] of a forward chunk is z, of a backward chunk dz. */
fsmoe_tensor_t fsmoe_expert_gpt(fsmoe_graph_t graph, const fsmoe_tensor_t *weight,
				struct fsmoe_expert_chunk *chunk);
fsmoe_tensor_t fsmoe_expert_gpt_backward_input(fsmoe_graph_t graph, const fsmoe_tensor_t *weight,
					       const struct fsmoe_expert_pass *forward,
					       struct fsmoe_expert_pass *backward, size_t i);
/* Of the backward chunks [first, last). */
void fsmoe_expert_gpt_backward_weight(fsmoe_graph_t graph, const fsmoe_tensor_t *gradient,
				      const struct fsmoe_expert_pass *forward,
				      const struct fsmoe_expert_pass *backward, size_t first,
				      size_t last);

#endif
