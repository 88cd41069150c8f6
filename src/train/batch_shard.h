/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_BATCH_SHARD_H
#define FSMOE_TRAIN_BATCH_SHARD_H

#include <fsmoe/model.h>

/* Copies this rank's rows of one micro-batch from a global (batch, seq) array: its data-parallel
 * slice of the samples and, of each, its slice of the tokens. Returns the number of rows. */
size_t fsmoe_batch_shard_rows(fsmoe_groups_t groups, const struct fsmoe_batch_spec *batch,
			      int micro_batch, int micro_batches, const int32_t *global,
			      int32_t *rows);

#endif
