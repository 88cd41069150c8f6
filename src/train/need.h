/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_NEED_H
#define FSMOE_TRAIN_NEED_H

#include <fsmoe/train.h>

/* Memory that a training will take, in bytes. */
struct fsmoe_need
{
	size_t rank;      /* a rank's tensors: the step's, and those of the evaluation */
	size_t host;      /* all ranks of this host, with what MPI, StarPU and BLAS take */
	size_t available; /* what this host has left; 0: unknown */
};

/* From the graphs, before anything is allocated; local. `eval_arg` is what `forward` gets for the
 * evaluation, of sequences of one micro-batch. -EINVAL: what building the graphs failed with. */
int fsmoe_need_estimate(fsmoe_groups_t groups, fsmoe_forward_fn forward, void *arg, void *eval_arg,
			const struct fsmoe_train_opts *opts, struct fsmoe_need *need);
/* -ENOMEM with a sentence when it does not fit. */
int fsmoe_need_check(const struct fsmoe_need *need);

/* "1.5 GB". Returns buffer. */
const char *fsmoe_need_text(size_t bytes, char *buffer, size_t size);

#endif
