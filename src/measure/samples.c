/* SPDX-License-Identifier: Apache-2.0 */
#include "measure/samples.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdlib.h>
#include <string.h>

int fsmoe_samples_add(struct fsmoe_samples *samples, enum fsmoe_kind kind, enum fsmoe_lane lane,
		      double n, const double *seconds, int count)
{
	struct fsmoe_series *s = &samples->of[kind][lane];

	if (s->count + count > s->room)
	{
		const int room = 2 * (s->count + count);
		double *sizes = realloc(s->n, (size_t)room * sizeof(*sizes)),
		       *times = realloc(s->seconds, (size_t)room * sizeof(*times));

		s->n = sizes ? sizes : s->n;
		s->seconds = times ? times : s->seconds;
		if (!sizes || !times)
			return fsmoe_fail(ENOMEM, "no memory for %d measurements", room);
		s->room = room;
	}
	for (int i = 0; i < count; i++)
	{
		s->n[s->count] = n;
		s->seconds[s->count++] = seconds[i];
	}
	return 0;
}

void fsmoe_samples_free(struct fsmoe_samples *samples)
{
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
		{
			free(samples->of[kind][lane].n);
			free(samples->of[kind][lane].seconds);
		}
	*samples = (struct fsmoe_samples){0};
}

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double fsmoe_median(double *value, int n)
{
	qsort(value, (size_t)n, sizeof(*value), ascending);
	return n % 2 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
}

int fsmoe_samples_slowest(struct fsmoe_comm *world, double *seconds, int n, int times)
{
	const size_t count = (size_t)n * (size_t)times;
	double *all = malloc((size_t)world->size * count * sizeof(*all)),
	       *sorted = malloc((size_t)times * sizeof(*sorted));
	int err = all && sorted
			  ? fsmoe_comm_allgather(world, seconds, all, count * sizeof(*seconds))
			  : fsmoe_fail(ENOMEM, "no memory for the measurements of %d ranks",
				       world->size);

	for (int i = 0; i < n && !err; i++)
	{
		const double *slowest = NULL;
		double longest = -1;

		for (int r = 0; r < world->size; r++)
		{
			const double *of_rank = all + (size_t)r * count + (size_t)i * (size_t)times;
			double median;

			memcpy(sorted, of_rank, (size_t)times * sizeof(*sorted));
			median = fsmoe_median(sorted, times);
			if (median > longest)
			{
				longest = median;
				slowest = of_rank;
			}
		}
		memcpy(seconds + (size_t)i * (size_t)times, slowest,
		       (size_t)times * sizeof(*seconds));
	}
	free(all);
	free(sorted);
	return err;
}
