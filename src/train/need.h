/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_NEED_H
#define FSMOE_TRAIN_NEED_H

#include "runtime/introspect.h"

#include <fsmoe/train.h>

/* Memory that a training will take, in bytes. */
struct fsmoe_need
{
	size_t rank;      /* a rank's tensors here: the step's, and those of the evaluation */
	size_t host;      /* all ranks of this host, with what MPI, StarPU and BLAS take */
	size_t available; /* what this host has left; 0: unknown */
};

/* From the graphs, before anything is allocated; local. gpu: 1 where activations lie on a GPU and
 * their pages here are never touched. `eval_arg` is what `forward` gets for the
 * evaluation, of sequences of one micro-batch. -EINVAL: what building the graphs failed with. */
int fsmoe_need_estimate(fsmoe_groups_t groups, int gpu, fsmoe_forward_fn forward, void *arg,
			void *eval_arg, const struct fsmoe_train_opts *opts,
			struct fsmoe_need *need);
/* -ENOMEM with a sentence when it does not fit. */
int fsmoe_need_check(const struct fsmoe_need *need);

/* The same of this rank's GPU, once the runtime has started; nothing is allocated. need->gpu is -1
 * where the CPU computes. */
int fsmoe_need_estimate_gpu(fsmoe_runtime_t runtime, fsmoe_forward_fn forward, void *arg,
			    void *eval_arg, const struct fsmoe_train_opts *opts,
			    struct fsmoe_gpu_memory *need);
int fsmoe_need_check_gpu(const struct fsmoe_gpu_memory *need);

/* "1.5 GB". Returns buffer. */
const char *fsmoe_need_text(size_t bytes, char *buffer, size_t size);

#endif
