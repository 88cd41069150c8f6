/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/op.h>

enum fsmoe_kind fsmoe_node_cost_kind(const struct fsmoe_node *node)
{
	enum fsmoe_group group;

	if (node->op->kind != FSMOE_KIND_ALLTOALL)
		return node->op->kind;
	group = node->op->group(node->args);
	return group == FSMOE_GROUP_EP_NODE || group == FSMOE_GROUP_EP_RAIL ? FSMOE_KIND_STAGE
									    : FSMOE_KIND_ALLTOALL;
}

double fsmoe_node_work(const struct fsmoe_node *node, const struct fsmoe_tensor_info *tensors)
{
	const struct fsmoe_tensor_info *t[node->naccess + 1];

	if (!node->op->work)
		return 0;
	for (int i = 0; i < node->naccess; i++)
		t[i] = node->access[i].tensor == FSMOE_NONE ? NULL
							    : &tensors[node->access[i].tensor];
	return node->op->work(node->args, t, node->naccess);
}
