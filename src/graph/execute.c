/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/comm.h"
#include "graph/graph.h"

#include <errno.h>
#include <fsmoe/error.h>

static int run_node(fsmoe_graph_t g, const struct fsmoe_node *node, fsmoe_memory_t memory,
		    fsmoe_comms_t comms, const struct fsmoe_step *step)
{
	void *data[node->naccess + 1];
	const struct fsmoe_tensor_info *tensor[node->naccess + 1];
	fsmoe_kernel_fn kernel = node->op->cpu[fsmoe_memory_real(memory)];
	struct fsmoe_call call = {.node = node,
				  .args = node->args,
				  .data = data,
				  .tensor = tensor,
				  .n = node->naccess,
				  .step = step};

	if (!kernel)
		return fsmoe_fail(EINVAL, "operation '%s' has no CPU kernel of this precision",
				  node->op->name);
	for (int i = 0; i < node->naccess; i++)
	{
		fsmoe_tensor_t t = node->access[i].tensor;
		data[i] = fsmoe_memory_data(memory, t);
		tensor[i] = t == FSMOE_NONE ? NULL : &g->tensors[t];
	}
	if (FSMOE_KIND_IS_COMM(node->op->kind))
	{
		if (!comms)
			return fsmoe_fail(EINVAL,
					  "operation '%s' needs communicators, none were given",
					  node->op->name);
		call.comm = fsmoe_comms_get(comms, node->op->group(node->args));
	}
	return kernel(&call);
}

int fsmoe_graph_execute(fsmoe_graph_t g, fsmoe_memory_t memory, fsmoe_comms_t comms,
			const struct fsmoe_step *step)
{
	static const struct fsmoe_step first = {.step = 1};
	int err = fsmoe_graph_status(g);

	for (int i = 0; i < g->nnodes && !err; i++)
	{
		err = run_node(g, &g->nodes[i], memory, comms, step ? step : &first);
		if (err)
		{
			char label[128];
			fsmoe_node_label(&g->nodes[i], label, sizeof(label));
			err = fsmoe_fail(-err, "%s: %s", label, fsmoe_last_error());
		}
	}
	return err;
}
