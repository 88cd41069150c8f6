/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/gradient_windows.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

double fsmoe_allreduce_bytes(double alpha, double beta, double seconds)
{
	if (seconds <= alpha)
		return 0;
	return beta > 0 ? (seconds - alpha) / beta : INFINITY;
}

/* Since the newest bytes go first, a byte that stays was complete in every window after its
 * arrival, and all of those windows are full. */
void fsmoe_fill_windows(const struct fsmoe_gradient_window *w, int n, double alpha, double beta,
			uint64_t unit, uint64_t *bytes, uint64_t *left)
{
	for (int i = 0; i < n; i++)
	{
		/* In whole units, so that sums are exact. */
		double room =
			floor(fsmoe_allreduce_bytes(alpha, beta, w[i].seconds) / (double)unit);

		bytes[i] = 0;
		left[i] = w[i].arrives;
		for (int from = i; from >= 0 && room > 0; from--)
		{
			const uint64_t units = left[from] / unit,
				       take = room < (double)units ? (uint64_t)room : units;

			left[from] -= take * unit;
			bytes[i] += take * unit;
			room -= (double)take;
		}
	}
}

static int check_windows(const struct fsmoe_gradient_window *window, int n, double alpha,
			 double beta, uint64_t unit)
{
	if (n < 0 || !(alpha >= 0) || !(beta >= 0) || !isfinite(alpha) || !isfinite(beta) ||
	    unit == 0)
		return fsmoe_fail(EINVAL,
				  "%d windows, alpha = %g, beta = %g and units of %llu bytes: none "
				  "may be negative, units not 0",
				  n, alpha, beta, (unsigned long long)unit);
	for (int i = 0; i < n; i++)
		if (!(window[i].seconds >= 0) || window[i].arrives % unit)
			return fsmoe_fail(EINVAL,
					  "window %d of %g s in which %llu bytes arrive: seconds "
					  "may not be negative, bytes must be multiples of %llu",
					  i, window[i].seconds,
					  (unsigned long long)window[i].arrives,
					  (unsigned long long)unit);
	return 0;
}

int fsmoe_gradient_cut(const struct fsmoe_gradient_window *window, int n, double alpha, double beta,
		       uint64_t unit, uint64_t *bytes, double *exposed)
{
	uint64_t *left;
	int err = check_windows(window, n, alpha, beta, unit);

	if (err)
		return err;
	left = malloc(((size_t)n + 1) * sizeof(*left));
	if (!left)
		return fsmoe_fail(ENOMEM, "no memory for %d windows", n);
	fsmoe_fill_windows(window, n, alpha, beta, unit, bytes, left);
	bytes[n] = 0;
	for (int i = 0; i < n; i++)
		bytes[n] += left[i];
	free(left);
	if (exposed)
		*exposed = bytes[n] ? fsmoe_line_seconds(alpha, beta, (double)bytes[n]) : 0;
	return 0;
}
