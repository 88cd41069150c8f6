/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/partition.h"

#include <math.h>

double fsmoe_allreduce_bytes(double alpha, double beta, double seconds)
{
	if (seconds <= alpha)
		return 0;
	return beta > 0 ? (seconds - alpha) / beta : INFINITY;
}

/* Equations 6.2 and 6.3, in the order of time. What is left of one arrival is the
 * oldest, since the newest goes first: so a byte that stays was there in every window after it
 * arrived, and all of those are full. */
void fsmoe_fill_windows(struct fsmoe_window *w, int n)
{
	for (int i = 0; i < n; i++)
	{
		double room = w[i].capacity;

		w[i].filled = 0;
		w[i].left = w[i].arrives;
		for (int from = i; from >= 0 && room > 0; from--)
		{
			const double take = fmin(room, w[from].left);

			w[from].left -= take;
			w[i].filled += take;
			room -= take;
		}
	}
}
