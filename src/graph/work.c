/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/op.h>

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
