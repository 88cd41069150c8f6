/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_AHEAD_H
#define FSMOE_AHEAD_H

#include <cuda_runtime.h>

/* Computation that ends for StarPU when it is enqueued, and communication that waits for it on the
 * device: ahead.c. */
struct fsmoe_program;
struct fsmoe_slot;

/* After the slots are made. Sets the program's `ahead`, or leaves it NULL where tasks must not run
 * ahead. */
int fsmoe_ahead_plan(struct fsmoe_program *program);
void fsmoe_ahead_free(struct fsmoe_program *program);
/* Before a slot of communication: `stream` waits for the computation before it. */
int fsmoe_ahead_wait(const struct fsmoe_program *program, const struct fsmoe_slot *slot,
		     cudaStream_t stream);
/* After a slot that ran ahead. */
int fsmoe_ahead_done(const struct fsmoe_program *program, const struct fsmoe_slot *slot,
		     cudaStream_t stream);

#endif
