/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_SIGNALS_H
#define FSMOE_CLI_SIGNALS_H

#include <fsmoe/runtime.h>

/*
 * Signals that ask to stop. SIGINT, SIGTERM and SIGUSR1 are remembered until the step has ended;
 * all ranks then save and leave together. A second SIGINT or SIGTERM ends this rank at once, as
 * does a SIGTERM that mpirun sends because another rank of this host is gone: no step would ever
 * end.
 */

/* Installs the handlers. Collective over the job. */
int cli_signals_catch(fsmoe_runtime_t runtime);
/* Ignores the signals from now on; to be called before the runtime is stopped. A launcher sends
 * SIGTERM to the other ranks when the first one has ended. */
void cli_signals_release(void);

/* The signal that was received, or 0. */
int cli_signals_asked(void);

#endif
