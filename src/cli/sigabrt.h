/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_SIGABRT_H
#define FSMOE_CLI_SIGABRT_H

#include <fsmoe/runtime.h>

/* Calls fsmoe_runtime_start. From before it on, an abort() in this process, which is how StarPU
 * gives up when a call of CUDA fails, ends it with one sentence and FSMOE_EXIT_RUN; a SIGABRT from
 * another process is named and then ends it as SIGABRT does. */
int cli_runtime_start(fsmoe_runtime_t *runtime, fsmoe_groups_t groups,
		      const struct fsmoe_runtime_opts *opts);

#endif
