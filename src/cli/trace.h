/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_TRACE_H
#define FSMOE_CLI_TRACE_H

/* Makes paje.trace and the rest of what the ranks left in `dir`, and says so unless quiet. For one
 * rank, after all have written theirs. Returns an exit code. */
int cli_trace_convert(const char *dir, int quiet);

#endif
