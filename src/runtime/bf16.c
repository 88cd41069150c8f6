/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/bf16.h"

#include "graph/memory.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int fits(const struct fsmoe_port *port, const struct fsmoe_tensor_info *t)
{
	int narrow = fsmoe_tensor_real(FSMOE_BF16, t) == FSMOE_BF16;

	if (t->dtype == FSMOE_INT32 || port->flags & (FSMOE_EITHER | FSMOE_SCRATCH))
		return 1;
	if (port->flags & FSMOE_FLOAT)
		return !narrow;
	return narrow || (port->flags & FSMOE_WEIGHT && t->role == FSMOE_PARAM);
}

int fsmoe_bf16_check(fsmoe_graph_t graph)
{
	int nnodes, ntensors;
	const struct fsmoe_node *nodes = fsmoe_graph_nodes(graph, &nnodes);
	const struct fsmoe_tensor_info *tensors = fsmoe_graph_tensors(graph, &ntensors);

	for (int i = 0; i < nnodes; i++)
		for (int k = 0; nodes[i].op->cuda_bf16 && k < nodes[i].naccess; k++)
		{
			const struct fsmoe_access *a = &nodes[i].access[k];
			const struct fsmoe_port *port = &nodes[i].op->ports[a->port];
			char label[128];
			if (a->tensor == FSMOE_NONE || fits(port, &tensors[a->tensor]))
				continue;
			fsmoe_node_label(&nodes[i], label, sizeof(label));
			return fsmoe_fail(
				EINVAL,
				"%s: in a bf16 run '%s' must be %s, but '%s' is not: make "
				"it an %s activation",
				label, port->name, port->flags & FSMOE_FLOAT ? "float" : "bf16",
				tensors[a->tensor].name,
				port->flags & FSMOE_FLOAT ? "FSMOE_WIDE" : "FSMOE_REAL");
		}
	return 0;
}

void fsmoe_bf16_round(const float *from, uint16_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		uint32_t bits;
		memcpy(&bits, &from[i], sizeof(bits));
		to[i] = isnan(from[i]) ? (uint16_t)(bits >> 16 | 0x40)
				       : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
	}
}

void fsmoe_bf16_widen(const uint16_t *from, float *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		uint32_t bits = (uint32_t)from[i] << 16;
		memcpy(&to[i], &bits, sizeof(bits));
	}
}

static int narrow(const struct fsmoe_call *call, int i)
{
	return call->tensor[i] && fsmoe_tensor_real(call->real, call->tensor[i]) == FSMOE_BF16;
}

static int widen_all(const struct fsmoe_call *call, void **data)
{
	int err = 0;

	for (int i = 0; i < call->n && !err; i++)
	{
		const size_t n = narrow(call, i) ? fsmoe_shape_count(&call->tensor[i]->shape) : 0;

		data[i] = call->data[i];
		if (!narrow(call, i))
			continue;
		data[i] = calloc(n + 1, sizeof(float));
		if (!data[i])
			err = fsmoe_fail(ENOMEM, "no memory to run '%s' on the host",
					 call->node->op->name);
		else if (call->node->access[i].mode & FSMOE_R)
			fsmoe_bf16_widen(call->data[i], data[i], n);
	}
	return err;
}

int fsmoe_bf16_on_host(fsmoe_kernel_fn kernel, const struct fsmoe_call *call)
{
	void *data[call->n + 1];
	struct fsmoe_call wide = *call;
	int err;

	wide.real = FSMOE_F32;
	if (call->real != FSMOE_BF16)
		return kernel(&wide);
	wide.data = data;
	wide.copy = NULL;
	memset(data, 0, sizeof(data));
	err = widen_all(call, data);
	if (!err)
		err = kernel(&wide);
	for (int i = 0; i < call->n; i++)
	{
		if (!narrow(call, i))
			continue;
		if (!err && call->node->access[i].mode & FSMOE_W)
			fsmoe_bf16_round(data[i], call->data[i],
					 fsmoe_shape_count(&call->tensor[i]->shape));
		free(data[i]);
	}
	return err;
}
