/* SPDX-License-Identifier: Apache-2.0 */
#include "moe/dispatch/parts.h"
#include "moe/modules.h"

static fsmoe_tensor_t send(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t chunk)
{
	return fsmoe_dispatch_send(layer, chunk, fsmoe_exchange_flat);
}

static fsmoe_tensor_t combine(const struct fsmoe_moe_layer *layer, fsmoe_tensor_t reduced)
{
	return fsmoe_dispatch_combine(layer, reduced, fsmoe_exchange_flat);
}

static void count(const struct fsmoe_moe_layer *layer, struct fsmoe_taken *taken)
{
	taken->arrived = fsmoe_count_arrived(layer, fsmoe_count_flat(layer, taken->sent));
}

const struct fsmoe_dispatch fsmoe_dispatch_module_flat = {
	.module =
		{
			.abi = FSMOE_MODULE_ABI,
			.name = "flat",
			.doc = "one AlltoAll over the expert-parallel group, one AllGather over "
			       "shards",
		},
	.send = send,
	.reduce = fsmoe_dispatch_reduce,
	.combine = combine,
	.count = count,
};
