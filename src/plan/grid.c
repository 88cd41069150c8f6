/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/grid.h"

static const struct
{
	int nodes, devices, seq[3];
} testbeds[FSMOE_NTESTBEDS] = {
	[FSMOE_TESTBED_A] = {6, 8, {512, 1024, 2048}},
	[FSMOE_TESTBED_B] = {8, 4, {256, 512, 1024}},
};

static const int batches[] = {1, 2, 4}, heads[] = {8, 16, 32}, dims[] = {1024, 2048, 4096},
		 scales[] = {2, 3, 4};
static const double factors[] = {1.2, 2.4, 1.0};

struct fsmoe_grid_point fsmoe_grid_point(enum fsmoe_testbed testbed, int i)
{
	int digit[6];

	for (int k = 0; k < 6; k++, i /= 3)
		digit[k] = i % 3;
	return (struct fsmoe_grid_point){.batch = batches[digit[0]],
					 .heads = heads[digit[1]],
					 .seq = testbeds[testbed].seq[digit[2]],
					 .model_dim = dims[digit[3]],
					 .scale = scales[digit[4]],
					 .factor = factors[digit[5]],
					 .mixtral = i % 2};
}

struct fsmoe_layer_sizes fsmoe_grid_sizes(enum fsmoe_testbed testbed,
					  const struct fsmoe_grid_point *p)
{
	return (struct fsmoe_layer_sizes){.batch = p->batch,
					  .seq_length = p->seq,
					  .hidden_size = p->model_dim,
					  .ffn_size = (double)p->scale * p->model_dim,
					  .heads = p->heads,
					  .experts = testbeds[testbed].nodes,
					  .load = p->factor,
					  .gemms = p->mixtral ? 3 : 2,
					  .biases = 1,
					  .tp = testbeds[testbed].devices,
					  .ep = testbeds[testbed].nodes};
}
