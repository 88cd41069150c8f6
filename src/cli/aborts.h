/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_ABORTS_H
#define FSMOE_CLI_ABORTS_H

#include <fsmoe/runtime.h>

/* fsmoe_runtime_start for this program: from before it on, where StarPU gives up by abort(), as it
 * does when a call of CUDA's fails, the process ends with one sentence and FSMOE_EXIT_RUN. Other
 * aborts end it as they did before. */
int cli_runtime_start(fsmoe_runtime_t *runtime, fsmoe_groups_t groups,
		      const struct fsmoe_runtime_opts *opts);

#endif
