/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_EARLY_RELEASE_H
#define FSMOE_EARLY_RELEASE_H

#include <cuda_runtime.h>

/* Early release: computation ends for StarPU when it is enqueued, and communication waits for it on
 * the device. */
struct fsmoe_program;
struct fsmoe_task_template;

/* After the task templates are made. Sets program->early and the plan of its waits, or leaves both
 * unset where a node runs on the host or a trace is taken. */
int fsmoe_early_release_plan(struct fsmoe_program *program);
void fsmoe_early_release_free(struct fsmoe_program *program);
/* Before a task of communication: `stream` waits for the computation before it. */
int fsmoe_early_release_wait(const struct fsmoe_program *program,
			     const struct fsmoe_task_template *template, cudaStream_t stream);
/* After a task that is released early: records its event. */
int fsmoe_early_release_done(const struct fsmoe_program *program,
			     const struct fsmoe_task_template *template, cudaStream_t stream);

#endif
