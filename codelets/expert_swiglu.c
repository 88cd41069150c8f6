/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_swiglu.h"

const struct fsmoe_ffn fsmoe_ffn_swiglu = {
	.nweights = FSMOE_SWIGLU_WEIGHTS,
	.part = {[FSMOE_SWIGLU_W1] = FSMOE_FFN_IN,
		 [FSMOE_SWIGLU_W3] = FSMOE_FFN_IN,
		 [FSMOE_SWIGLU_W2] = FSMOE_FFN_OUT},
	.forward = &fsmoe_op_expert_swiglu,
	.backward_input = &fsmoe_op_expert_swiglu_backward_input,
	.backward_weight = &fsmoe_op_expert_swiglu_backward_weight,
};

static const struct fsmoe_port ports[] = {
	{"x", FSMOE_R, 0, "P E c M"},
	{"w1", FSMOE_R, FSMOE_WEIGHT, "E*H M"},
	{"w3", FSMOE_R, FSMOE_WEIGHT, "E*H M"},
	{"w2", FSMOE_R, FSMOE_WEIGHT, "E*M H"},
	{"y", FSMOE_W, FSMOE_ROWS, "P E c M"},
	{"z", FSMOE_W, FSMOE_ROWS, "E P c 2*H"},
	{"act", FSMOE_W, FSMOE_SCRATCH, "_ H"},
	{"rows", FSMOE_W, FSMOE_SCRATCH | FSMOE_OPTIONAL, "_ 2*M+2*H"},
	{"counts", FSMOE_R, FSMOE_OPTIONAL | FSMOE_INTS, "P*E*G"},
};

static const struct fsmoe_port backward_input_ports[] = {
	{"dy", FSMOE_R, 0, "P E c M"},
	{"w1", FSMOE_R, FSMOE_WEIGHT, "E*H M"},
	{"w3", FSMOE_R, FSMOE_WEIGHT, "E*H M"},
	{"w2", FSMOE_R, FSMOE_WEIGHT, "E*M H"},
	{"dx", FSMOE_W, FSMOE_ROWS, "P E c M"},
	{"dz", FSMOE_W, FSMOE_ROWS, "E P c 2*H"},
	{"z", FSMOE_R, FSMOE_MANY, "E P _ 2*H"},
	{"rows", FSMOE_W, FSMOE_SCRATCH | FSMOE_OPTIONAL, "_ 2*M+2*H"},
	{"counts", FSMOE_R, FSMOE_OPTIONAL | FSMOE_INTS, "P*E*G"},
};

static const struct fsmoe_port backward_weight_ports[] = {
	{"dw1", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT | FSMOE_FRESH, "E*H M"},
	{"dw3", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT | FSMOE_FRESH, "E*H M"},
	{"dw2", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT | FSMOE_FRESH, "E*M H"},
	{"rows", FSMOE_W, FSMOE_SCRATCH, "_ 2*M+4*H"},
	{"x", FSMOE_R, FSMOE_MANY, "P E _ M"},
	{"z", FSMOE_R, FSMOE_MANY, "E P _ 2*H"},
	{"dy", FSMOE_R, FSMOE_MANY, "P E _ M"},
	{"dz", FSMOE_R, FSMOE_MANY, "E P _ 2*H"},
	{"counts", FSMOE_R, FSMOE_OPTIONAL | FSMOE_INTS, "P*E*G"},
};

const struct fsmoe_op fsmoe_op_expert_swiglu = {
	.name = "expert_swiglu",
	.doc = "(silu(x w1^T) * (x w3^T)) w2^T of every local expert, on one chunk",
	FSMOE_FFN_FORWARD(ports),
};

const struct fsmoe_op fsmoe_op_expert_swiglu_backward_input = {
	.name = "expert_swiglu.backward_input",
	.doc = "dz of silu(z1) z3 and dy w2, dx = dz1 w1 + dz3 w3, on one backward chunk",
	FSMOE_FFN_BACKWARD_INPUT(backward_input_ports),
};

const struct fsmoe_op fsmoe_op_expert_swiglu_backward_weight = {
	.name = "expert_swiglu.backward_weight",
	.doc = "dw1 += dz1^T x, dw3 += dz3^T x, dw2 += dy^T (silu(z1) z3)",
	FSMOE_FFN_BACKWARD_WEIGHT(backward_weight_ports),
};
