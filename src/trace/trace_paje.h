/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRACE_PAJE_H
#define FSMOE_TRACE_PAJE_H

/*
 * Sets right what StarPU 1.3 writes into paje.trace, in place:
 *
 *	colours of codelets have components of 0 to 255, where Paje has 0 to 1 and viewers show
 *	white;
 *	two threads that count tasks at once may leave a counter's later value with an earlier
 *	time, which PajeNG refuses: such a value gets the time of the one before it.
 *
 * -EIO, ... with a sentence.
 */
int fsmoe_trace_mend_paje(const char *path);

#endif
