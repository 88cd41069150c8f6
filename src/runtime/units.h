/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_RUNTIME_UNITS_H
#define FSMOE_RUNTIME_UNITS_H

/* StarPU counts in microseconds, fsmoe in seconds: the one place where one becomes the other. */
static inline double fsmoe_starpu_us(double seconds)
{
	return 1e6 * seconds;
}

#endif
