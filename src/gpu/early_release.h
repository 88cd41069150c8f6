/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_EARLY_RELEASE_H
#define FSMOE_EARLY_RELEASE_H

#include <cuda_runtime.h>

/* Computation that ends for StarPU when it is enqueued, and communication that waits for it on the
 * device: ahead.c. */
struct fsmoe_program;
struct fsmoe_task_template;

/* After the templates are made. Sets the program's `ahead`, or leaves it NULL where tasks must not run
 * ahead. */
int fsmoe_early_release_plan(struct fsmoe_program *program);
void fsmoe_early_release_free(struct fsmoe_program *program);
/* Before a template of communication: `stream` waits for the computation before it. */
int fsmoe_early_release_wait(const struct fsmoe_program *program,
			     const struct fsmoe_task_template *template, cudaStream_t stream);
/* After a template that ran ahead. */
int fsmoe_early_release_done(const struct fsmoe_program *program,
			     const struct fsmoe_task_template *template, cudaStream_t stream);

#endif
