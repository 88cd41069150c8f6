/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/comm.h"
#include "gpu/device_internal.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>

/* An operation without a CUDA kernel, a program's own one say, on copies of its tensors. Views of
 * one tensor that a node both reads and writes would not see each other: operations must not be
 * given such (src/graph refuses nothing of the kind today; the built-in ones are never). */

static int copy_out(struct fsmoe_stream *s, const struct fsmoe_node *node, void **data,
		    const struct fsmoe_tensor_info **tensor)
{
	int err = 0;

	for (int i = 0; i < node->naccess && !err; i++)
	{
		fsmoe_tensor_t t = node->access[i].tensor;
		data[i] = NULL;
		tensor[i] = NULL;
		if (t == FSMOE_NONE)
			continue;
		tensor[i] = &s->memory->tensors[t];
		size_t bytes = fsmoe_device_tensor_bytes(tensor[i]);
		data[i] = malloc(bytes + 1);
		if (!data[i])
			err = fsmoe_fail(ENOMEM, "no memory to run '%s' on the host",
					 node->op->name);
		else
			err = fsmoe_device_memory_read(s->memory, t, data[i], bytes);
	}
	return err;
}

int fsmoe_stream_run_on_host(struct fsmoe_stream *s, const struct fsmoe_node *node,
			     const struct fsmoe_step *step)
{
	void *data[node->naccess + 1];
	const struct fsmoe_tensor_info *tensor[node->naccess + 1];
	struct fsmoe_call call = {.node = node,
				  .args = node->args,
				  .data = data,
				  .tensor = tensor,
				  .n = node->naccess,
				  .step = step};
	fsmoe_kernel_fn kernel = node->op->cpu[FSMOE_F32];
	int err;

	if (!kernel)
		return fsmoe_fail(EINVAL, "operation '%s' has neither a CUDA nor a CPU kernel",
				  node->op->name);
	if (FSMOE_KIND_IS_COMM(node->op->kind))
		call.comm = fsmoe_comms_get(s->comms, node->op->group(node->args));
	for (int i = 0; i < node->naccess; i++)
		data[i] = NULL;
	err = fsmoe_cuda_check(cudaDeviceSynchronize(), "a step");
	if (!err)
		err = copy_out(s, node, data, tensor);
	if (!err)
		err = kernel(&call);
	for (int i = 0; i < node->naccess; i++)
	{
		if (!err && data[i] && node->access[i].mode & FSMOE_W)
			err = fsmoe_device_memory_write(s->memory, node->access[i].tensor, data[i],
							fsmoe_device_tensor_bytes(tensor[i]));
		free(data[i]);
	}
	return err;
}
