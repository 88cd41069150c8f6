/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/partition.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/plan.h>
#include <math.h>
#include <stdlib.h>

static int check(const struct fsmoe_gradient_window *window, int n, double alpha, double beta,
		 uint64_t unit)
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
	struct fsmoe_window *w;
	uint64_t ready = 0;
	int err = check(window, n, alpha, beta, unit);

	if (err)
		return err;
	w = calloc((size_t)n + 1, sizeof(*w));
	if (!w)
		return fsmoe_fail(ENOMEM, "no memory for %d windows", n);
	/* In whole units, so that sums are exact and no piece is longer than its window. */
	for (int i = 0; i < n; i++)
	{
		w[i].arrives = (double)(window[i].arrives / unit);
		w[i].capacity =
			floor(fsmoe_allreduce_bytes(alpha, beta, window[i].seconds) / (double)unit);
	}
	fsmoe_fill_windows(w, n);
	for (int i = 0; i < n; i++)
	{
		bytes[i] = (uint64_t)w[i].filled * unit;
		ready += window[i].arrives - bytes[i];
	}
	free(w);
	bytes[n] = ready;
	if (exposed)
		*exposed = ready ? fsmoe_line_seconds(alpha, beta, (double)ready) : 0;
	return 0;
}
