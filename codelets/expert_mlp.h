/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_EXPERT_MLP_H
#define FSMOE_EXPERT_MLP_H

#include "codelets/expert_ffn.h"

/*
 * Two matrices with an activation between them (codelets/expert_ffn.h):
 *
 *   z = x w1^T + b1,  y = act(z) w2^T + b2
 *
 * act is tanh GELU or ReLU; biases may be absent.
 */
extern const struct fsmoe_op fsmoe_op_expert_mlp;
extern const struct fsmoe_op fsmoe_op_expert_mlp_backward_input;
extern const struct fsmoe_op fsmoe_op_expert_mlp_backward_weight;

enum fsmoe_expert_mlp_weight
{
	FSMOE_MLP_W1,
	FSMOE_MLP_B1, /* FSMOE_NONE: there is none */
	FSMOE_MLP_W2,
	FSMOE_MLP_B2, /* FSMOE_NONE: there is none, or another rank adds it */
	FSMOE_MLP_WEIGHTS
};

extern const struct fsmoe_ffn fsmoe_ffn_mlp;

#endif
