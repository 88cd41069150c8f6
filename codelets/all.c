/* SPDX-License-Identifier: Apache-2.0 */
#include "codelets/attention.h"
#include "codelets/collective.h"
#include "codelets/cross_entropy.h"
#include "codelets/embedding.h"
#include "codelets/expert_mlp.h"
#include "codelets/expert_swiglu.h"
#include "codelets/gate_loss.h"
#include "codelets/gate_scores.h"
#include "codelets/gate_soft.h"
#include "codelets/gelu.h"
#include "codelets/layer_norm.h"
#include "codelets/linear.h"
#include "codelets/optimizer.h"
#include "codelets/order.h"
#include "codelets/order_einsum.h"
#include "codelets/residual.h"
#include "codelets/route.h"
#include "codelets/rows.h"
#include "graph/basic.h"

static const struct fsmoe_op *const operations[] = {
	&fsmoe_op_fill,
	&fsmoe_op_sum,
	&fsmoe_op_accumulate,
	&fsmoe_op_embedding,
	&fsmoe_op_embedding_backward,
	&fsmoe_op_layer_norm,
	&fsmoe_op_layer_norm_backward,
	&fsmoe_op_linear,
	&fsmoe_op_linear_backward_input,
	&fsmoe_op_linear_backward_weight,
	&fsmoe_op_gelu,
	&fsmoe_op_gelu_backward,
	&fsmoe_op_attention,
	&fsmoe_op_attention_backward,
	&fsmoe_op_residual,
	&fsmoe_op_residual_backward_bias,
	&fsmoe_op_cross_entropy,
	&fsmoe_op_cross_entropy_backward,
	&fsmoe_op_sum_squares,
	&fsmoe_op_adamw,
	&fsmoe_op_sgd,
	&fsmoe_op_alltoall,
	&fsmoe_op_gather,
	&fsmoe_op_scatter,
	&fsmoe_op_allgather,
	&fsmoe_op_reduce_scatter,
	&fsmoe_op_allreduce,
	&fsmoe_op_alltoall_rows,
	&fsmoe_op_allgather_rows,
	&fsmoe_op_reduce_scatter_rows,
	&fsmoe_op_gate_logits,
	&fsmoe_op_gate_noise,
	&fsmoe_op_gate_noise_backward,
	&fsmoe_op_gate_cosine,
	&fsmoe_op_gate_cosine_backward,
	&fsmoe_op_gate_soft,
	&fsmoe_op_gate_soft_backward,
	&fsmoe_op_gate_loss,
	&fsmoe_op_gate_loss_backward,
	&fsmoe_op_route,
	&fsmoe_op_route_backward,
	&fsmoe_op_order,
	&fsmoe_op_order_backward,
	&fsmoe_op_inverse_order,
	&fsmoe_op_inverse_order_backward_chunk,
	&fsmoe_op_inverse_order_backward_weight,
	&fsmoe_op_order_mask,
	&fsmoe_op_order_mask_backward,
	&fsmoe_op_einsum_slots,
	&fsmoe_op_einsum_rows,
	&fsmoe_op_einsum_mask,
	&fsmoe_op_expert_mlp,
	&fsmoe_op_expert_mlp_backward_input,
	&fsmoe_op_expert_mlp_backward_weight,
	&fsmoe_op_expert_swiglu,
	&fsmoe_op_expert_swiglu_backward_input,
	&fsmoe_op_expert_swiglu_backward_weight,
};

const struct fsmoe_op *fsmoe_op_at(int i)
{
	return i >= 0 && i < (int)(sizeof(operations) / sizeof(operations[0])) ? operations[i]
									       : NULL;
}
