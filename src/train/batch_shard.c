/* SPDX-License-Identifier: Apache-2.0 */
#include "train/batch_shard.h"

size_t fsmoe_batch_shard_rows(fsmoe_groups_t groups, const struct fsmoe_batch_spec *batch,
			      int micro_batch, int micro_batches, const int32_t *global,
			      int32_t *rows)
{
	const int mp = fsmoe_group_size(groups, FSMOE_GROUP_TP),
		  mp_rank = fsmoe_group_rank(groups, FSMOE_GROUP_TP),
		  dp_rank = fsmoe_group_rank(groups, FSMOE_GROUP_DP), span = batch->seq_length / mp;
	const int first = (dp_rank * micro_batches + micro_batch) * batch->sequences;
	size_t n = 0;

	for (int s = 0; s < batch->sequences; s++)
		for (int i = 0; i < span; i++)
			rows[n++] = global[(size_t)(first + s) * (size_t)batch->seq_length +
					   (size_t)(mp_rank * span + i)];
	return n;
}
