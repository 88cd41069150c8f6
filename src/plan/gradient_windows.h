/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_PLAN_GRADIENT_WINDOWS_H
#define FSMOE_PLAN_GRADIENT_WINDOWS_H

#include <fsmoe/plan.h>

/* Returns the bytes that an AllReduce of that many seconds sums: 0 if it only starts, INFINITY if
 * bytes cost nothing. */
double fsmoe_allreduce_bytes(double alpha, double beta, double seconds);

/* Step 1 of the paper's section 6 (equations 6.2 and 6.3): every window, in the order of time,
 * takes what is complete, the newest first, up to what hides in it. bytes[i] travel in window i;
 * left[i] are those that arrived in window i and found no window. Both are multiples of `unit`. */
void fsmoe_fill_windows(const struct fsmoe_gradient_window *window, int n, double alpha,
			double beta, uint64_t unit, uint64_t *bytes, uint64_t *left);

#endif
