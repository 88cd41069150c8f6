/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_MEMORY_ESTIMATE_H
#define FSMOE_TRAIN_MEMORY_ESTIMATE_H

#include "runtime/introspect.h"

/* Memory of a host that a training takes, in bytes. */
struct fsmoe_host_memory
{
	size_t rank;      /* tensors of one rank */
	size_t host;      /* all ranks of this host, with what MPI, StarPU and BLAS take */
	size_t available; /* what this host has left; 0: unknown */
};

/* Estimates what programs of n graphs will take together, before anything is allocated; local.
 * Graphs after the first find their parameters, gradients and state in its memory. on_gpu: 1 if
 * activations lie on a GPU and their pages here are never touched. */
void fsmoe_host_memory_estimate(struct fsmoe_host_memory *memory, const fsmoe_graph_t *graphs,
				int n, int on_gpu);
/* -ENOMEM with a sentence if it does not fit. */
int fsmoe_host_memory_check(const struct fsmoe_host_memory *memory);
/* The same check of this rank's GPU; memory is what fsmoe_runtime_gpu_memory found. */
int fsmoe_gpu_memory_check(const struct fsmoe_gpu_memory *memory);

/* "1.5 GB". */
struct fsmoe_memory_text
{
	char text[32];
} fsmoe_memory_text(size_t bytes);

#endif
