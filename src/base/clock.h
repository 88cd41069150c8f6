/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_BASE_CLOCK_H
#define FSMOE_BASE_CLOCK_H

/* Seconds of a clock that never jumps; only differences mean something. */
double fsmoe_clock(void);

/* Sleeps that many seconds, to some microseconds, whatever signals arrive. */
void fsmoe_clock_sleep(double seconds);

#endif
