/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRACE_PAJE_H
#define FSMOE_TRACE_PAJE_H

/* StarPU 1.3 writes the colours of codelets into paje.trace with components of 0 to 255, where
 * Paje has 0 to 1 and viewers show white: sets that right, in place. -EIO, ... with a sentence. */
int fsmoe_trace_fix_colours(const char *path);

#endif
