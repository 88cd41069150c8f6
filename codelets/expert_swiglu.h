/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_EXPERT_SWIGLU_H
#define FSMOE_EXPERT_SWIGLU_H

#include "codelets/expert_ffn.h"

/*
 * SwiGLU with three matrices and no biases (codelets/expert_ffn.h), as in Mixtral:
 *
 *   y = (silu(x w1^T) * (x w3^T)) w2^T,  silu(a) = a / (1 + exp(-a))
 *
 * z holds x w1^T and x w3^T side by side: (E, P, c, 2 H).
 */
extern const struct fsmoe_op fsmoe_op_expert_swiglu;
extern const struct fsmoe_op fsmoe_op_expert_swiglu_backward_input;
extern const struct fsmoe_op fsmoe_op_expert_swiglu_backward_weight;

enum fsmoe_expert_swiglu_weight
{
	FSMOE_SWIGLU_W1,
	FSMOE_SWIGLU_W3,
	FSMOE_SWIGLU_W2,
	FSMOE_SWIGLU_WEIGHTS
};

extern const struct fsmoe_ffn fsmoe_ffn_swiglu;

#endif
