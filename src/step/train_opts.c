/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/train.h>

void fsmoe_train_opts_init(struct fsmoe_train_opts *opts)
{
	*opts = (struct fsmoe_train_opts){
		.size = sizeof(*opts),
		.global_batch = 8,
		.micro_batches = 1,
		.seq_length = 16,
		.optimizer = "adamw",
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-8,
		.weight_decay = 0.1,
		.clip_grad_norm = 1.0,
		.seed = 1,
	};
}
