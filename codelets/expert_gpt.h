/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_EXPERT_GPT_H
#define FSMOE_EXPERT_GPT_H

#include "codelets/expert_ffn.h"

/*
 * Two matrices with an activation between them (codelets/expert_ffn.h):
 *
 *   z = x w1^T + b1,  y = act(z) w2^T + b2
 *
 * act is tanh GELU or ReLU; biases may be absent.
 */
extern const struct fsmoe_op fsmoe_op_expert_gpt;
extern const struct fsmoe_op fsmoe_op_expert_gpt_backward_input;
extern const struct fsmoe_op fsmoe_op_expert_gpt_backward_weight;

enum fsmoe_expert_gpt_weight
{
	FSMOE_GPT_W1,
	FSMOE_GPT_B1, /* FSMOE_NONE: there is none */
	FSMOE_GPT_W2,
	FSMOE_GPT_B2, /* FSMOE_NONE: there is none, or another rank adds it */
	FSMOE_GPT_WEIGHTS
};

extern const struct fsmoe_ffn fsmoe_ffn_gpt;

#endif
