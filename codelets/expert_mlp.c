/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/expert_mlp.h"

const struct fsmoe_ffn fsmoe_ffn_mlp = {
	.nweights = FSMOE_MLP_WEIGHTS,
	.part = {[FSMOE_MLP_W1] = FSMOE_FFN_IN,
		 [FSMOE_MLP_B1] = FSMOE_FFN_IN_BIAS,
		 [FSMOE_MLP_W2] = FSMOE_FFN_OUT,
		 [FSMOE_MLP_B2] = FSMOE_FFN_OUT_BIAS},
	.forward = &fsmoe_op_expert_mlp,
	.backward_input = &fsmoe_op_expert_mlp_backward_input,
	.backward_weight = &fsmoe_op_expert_mlp_backward_weight,
};

static const struct fsmoe_port ports[] = {
	{"x", FSMOE_R, 0, "P E c M"},
	{"w1", FSMOE_R, FSMOE_WEIGHT, "E*H M"},
	{"b1", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "E*H"},
	{"w2", FSMOE_R, FSMOE_WEIGHT, "E*M H"},
	{"b2", FSMOE_R, FSMOE_OPTIONAL | FSMOE_FLOAT, "E*M"},
	{"y", FSMOE_W, FSMOE_ROWS, "P E c M"},
	{"z", FSMOE_W, FSMOE_ROWS, "E P c H"},
	{"act", FSMOE_W, FSMOE_SCRATCH, "_ H"},
	{"rows", FSMOE_W, FSMOE_SCRATCH | FSMOE_OPTIONAL, "_ 2*M+H"},
	{"counts", FSMOE_R, FSMOE_OPTIONAL | FSMOE_INTS, "P*E*G"},
};

static const struct fsmoe_port backward_input_ports[] = {
	{"dy", FSMOE_R, 0, "P E c M"},
	{"w1", FSMOE_R, FSMOE_WEIGHT, "E*H M"},
	{"w2", FSMOE_R, FSMOE_WEIGHT, "E*M H"},
	{"dx", FSMOE_W, FSMOE_ROWS, "P E c M"},
	{"dz", FSMOE_W, FSMOE_ROWS, "E P c H"},
	{"z", FSMOE_R, FSMOE_MANY, "E P _ H"},
	{"rows", FSMOE_W, FSMOE_SCRATCH | FSMOE_OPTIONAL, "_ 2*M+H"},
	{"counts", FSMOE_R, FSMOE_OPTIONAL | FSMOE_INTS, "P*E*G"},
};

static const struct fsmoe_port backward_weight_ports[] = {
	{"dw1", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT | FSMOE_FRESH, "E*H M"},
	{"db1", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT, "E*H"},
	{"dw2", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT | FSMOE_FRESH, "E*M H"},
	{"db2", FSMOE_RW, FSMOE_OPTIONAL | FSMOE_FLOAT, "E*M"},
	{"rows", FSMOE_W, FSMOE_SCRATCH, "_ 2*M+2*H"},
	{"x", FSMOE_R, FSMOE_MANY, "P E _ M"},
	{"z", FSMOE_R, FSMOE_MANY, "E P _ H"},
	{"dy", FSMOE_R, FSMOE_MANY, "P E _ M"},
	{"dz", FSMOE_R, FSMOE_MANY, "E P _ H"},
	{"counts", FSMOE_R, FSMOE_OPTIONAL | FSMOE_INTS, "P*E*G"},
};

const struct fsmoe_op fsmoe_op_expert_mlp = {
	.name = "expert_mlp",
	.doc = "act(x w1^T + b1) w2^T + b2 of every local expert, on one chunk",
	FSMOE_FFN_FORWARD(ports),
};

const struct fsmoe_op fsmoe_op_expert_mlp_backward_input = {
	.name = "expert_mlp.backward_input",
	.doc = "dz = (dy w2) act'(z), dx = dz w1, on one backward chunk",
	FSMOE_FFN_BACKWARD_INPUT(backward_input_ports),
};

const struct fsmoe_op fsmoe_op_expert_mlp_backward_weight = {
	.name = "expert_mlp.backward_weight",
	.doc = "dw1 += dz^T x, db1 += sum dz, dw2 += dy^T act(z), db2 += sum dy",
	FSMOE_FFN_BACKWARD_WEIGHT(backward_weight_ports),
};
