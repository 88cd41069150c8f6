/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_STEP_OPTIMIZER_H
#define FSMOE_STEP_OPTIMIZER_H

#include <fsmoe/train.h>

/* Appends the update after the exchange of gradients: the global norm, and one optimizer node a
 * bucket. If the loss is not finite, the norm is NaN and nothing is updated. */
int fsmoe_step_append_update(fsmoe_graph_t graph, const struct fsmoe_train_opts *opts,
			     fsmoe_tensor_t loss, fsmoe_tensor_t *norm2);

#endif
