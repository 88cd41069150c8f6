/* SPDX-License-Identifier: Apache-2.0 */
#include "cost/profile.h"

#include <errno.h>
#include <fsmoe/drift.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A ring of the latest durations of one size. */
struct cell
{
	double n;
	uint64_t added, before; /* before: of them under another profile */
	float seconds[FSMOE_DRIFT_WINDOW];
};

struct line
{
	int sizes;
	struct cell cell[FSMOE_DRIFT_SIZES];
};

struct fsmoe_drift
{
	struct fsmoe_profile used, profile; /* as it is used; as medians have it */
	double bound;
	struct line *line[FSMOE_NKINDS][FSMOE_NLANES]; /* NULL: nothing seen yet */
};

static void use(fsmoe_drift_t d, fsmoe_profile_t profile)
{
	d->profile = *profile;
	d->used = *profile;
	/* Medians are compared with medians. */
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
			if (d->profile.fit[kind][lane].sharing > 0)
			{
				d->profile.fit[kind][lane].alpha /=
					profile->fit[kind][lane].sharing;
				d->profile.fit[kind][lane].beta /= profile->fit[kind][lane].sharing;
			}
}

void fsmoe_drift_follow(fsmoe_drift_t d, fsmoe_profile_t profile)
{
	use(d, profile);
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
		{
			struct line *l = d->line[kind][lane];

			for (int i = 0; l && i < l->sizes; i++)
				l->cell[i].before = l->cell[i].added;
		}
}

int fsmoe_drift_create(fsmoe_drift_t *drift, fsmoe_profile_t profile, double bound)
{
	fsmoe_drift_t d;

	if (!(bound > 0) || !isfinite(bound))
		return fsmoe_fail(EINVAL, "a bound of %g for drift: it must be above 0", bound);
	d = calloc(1, sizeof(*d));
	if (!d)
		return fsmoe_fail(ENOMEM, "no memory to watch the profile");
	use(d, profile);
	d->bound = bound;
	*drift = d;
	return 0;
}

void fsmoe_drift_clear(fsmoe_drift_t d)
{
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
		{
			free(d->line[kind][lane]);
			d->line[kind][lane] = NULL;
		}
}

void fsmoe_drift_destroy(fsmoe_drift_t d)
{
	if (!d)
		return;
	fsmoe_drift_clear(d);
	free(d);
}

/* --- adding ------------------------------------------------------------------------------- */

/* Returns the cell of a size; the nearest one if no cell is free. */
static struct cell *find(struct line *l, double n)
{
	struct cell *nearest = &l->cell[0];

	for (int i = 0; i < l->sizes; i++)
	{
		if (l->cell[i].n == n)
			return &l->cell[i];
		if (fabs(log(l->cell[i].n / n)) < fabs(log(nearest->n / n)))
			nearest = &l->cell[i];
	}
	if (l->sizes == FSMOE_DRIFT_SIZES)
		return nearest;
	l->cell[l->sizes] = (struct cell){.n = n};
	return &l->cell[l->sizes++];
}

int fsmoe_drift_add(fsmoe_drift_t d, enum fsmoe_kind kind, enum fsmoe_lane lane, double n,
		    double seconds)
{
	const struct fsmoe_fit *fit = &d->profile.fit[kind][lane];
	struct line **l = &d->line[kind][lane];
	struct cell *c;

	if (!d->profile.fitted[kind][lane] || !(n > 0) || !(seconds > 0))
		return 0;
	if (!*l)
		*l = calloc(1, sizeof(**l));
	if (!*l)
		return fsmoe_fail(ENOMEM, "no memory to watch the profile");
	c = find(*l, n);
	/* A guest counts by how far it is from what the line says of it. */
	if (c->n != n)
		seconds *= fsmoe_line_seconds(fit->alpha, fit->beta, c->n) /
			   fsmoe_line_seconds(fit->alpha, fit->beta, n);
	c->seconds[c->added++ % FSMOE_DRIFT_WINDOW] = (float)seconds;
	return 0;
}

static int ascending(const void *a, const void *b)
{
	const float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static double median(const struct cell *c)
{
	float sorted[FSMOE_DRIFT_WINDOW];
	const int n = c->added < FSMOE_DRIFT_WINDOW ? (int)c->added : FSMOE_DRIFT_WINDOW;

	memcpy(sorted, c->seconds, (size_t)n * sizeof(*sorted));
	qsort(sorted, (size_t)n, sizeof(*sorted), ascending);
	return n % 2 ? sorted[n / 2] : ((double)sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

void fsmoe_drift_cells(fsmoe_drift_t d, struct fsmoe_drift_cell *cells, int *n)
{
	const int room = *n;

	*n = 0;
	for (int kind = 0; kind < FSMOE_NKINDS; kind++)
		for (int lane = 0; lane < FSMOE_NLANES; lane++)
		{
			const struct line *l = d->line[kind][lane];

			for (int i = 0; l && i < l->sizes; i++)
			{
				const struct cell *c = &l->cell[i];

				if (c->added < FSMOE_DRIFT_LEAST)
					continue;
				if (cells && *n < room)
					cells[*n] = (struct fsmoe_drift_cell){
						kind, lane, c->n, median(c),
						(double)(c->added - c->before)};
				++*n;
			}
		}
}

/* --- deciding ----------------------------------------------------------------------------- */

/* A line with a smaller share of the time, as measured and as predicted, never drifts. */
#define LEAST_SHARE 0.02

struct judged /* one line */
{
	int first, last; /* cells, by size */
	double measured, predicted;
};

/* By line, size, then time: equal sizes of several ranks lie together. */
static int by_place(const void *a, const void *b)
{
	const struct fsmoe_drift_cell *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind - y->kind;
	if (x->lane != y->lane)
		return x->lane - y->lane;
	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	if (x->seconds != y->seconds)
		return x->seconds < y->seconds ? -1 : 1;
	return (x->samples > y->samples) - (x->samples < y->samples);
}

/* Merges the cells of all ranks into one, with the average number of samples. */
static int merge(struct fsmoe_drift_cell *cell, int n)
{
	int merged = 0;

	for (int i = 0, j; i < n; i = j)
	{
		double samples = 0;

		for (j = i; j < n && cell[j].kind == cell[i].kind && cell[j].lane == cell[i].lane &&
			    cell[j].n == cell[i].n;
		     j++)
			samples += cell[j].samples;
		cell[merged] = cell[FSMOE_KIND_IS_COMM(cell[i].kind) ? i : j - 1];
		cell[merged++].samples = samples / (j - i);
	}
	return merged;
}

static int judge(const struct fsmoe_drift *d, const struct fsmoe_drift_cell *cell, int n,
		 struct judged *line)
{
	int lines = 0;

	for (int i = 0, j; i < n; i = j)
	{
		const struct fsmoe_fit *fit = &d->profile.fit[cell[i].kind][cell[i].lane];
		struct judged *l = &line[lines++];

		*l = (struct judged){.first = i};
		for (j = i; j < n && cell[j].kind == cell[i].kind && cell[j].lane == cell[i].lane;
		     j++)
		{
			l->measured += cell[j].samples * cell[j].seconds;
			l->predicted += cell[j].samples *
					fsmoe_line_seconds(fit->alpha, fit->beta, cell[j].n);
		}
		l->last = j;
	}
	return lines;
}

static int relay(struct fsmoe_profile *profile, const struct fsmoe_drift_cell *cell,
		 const struct judged *l)
{
	const int n = l->last - l->first;
	struct fsmoe_fit *old = &profile->fit[cell[l->first].kind][cell[l->first].lane], fit = {0};
	double size[FSMOE_DRIFT_SIZES], seconds[FSMOE_DRIFT_SIZES];
	const double sharing = old->sharing > 0 ? old->sharing : 1;
	int err;

	snprintf(old->source, sizeof(old->source), "while training, %d sizes", n);
	if (n < 3 || n > FSMOE_DRIFT_SIZES || cell[l->last - 1].n < 4 * cell[l->first].n)
	{
		old->alpha *= l->measured / l->predicted;
		old->beta *= l->measured / l->predicted;
		return 0;
	}
	for (int i = 0; i < n; i++)
	{
		size[i] = cell[l->first + i].n;
		seconds[i] = cell[l->first + i].seconds;
	}
	err = fsmoe_fit_line(size, seconds, n, &fit);
	memcpy(fit.source, old->source, sizeof(fit.source));
	fit.sharing = old->sharing;
	fit.alpha *= sharing;
	fit.beta *= sharing;
	if (!err)
		*old = fit;
	return err;
}

static void say(const struct fsmoe_drift *d, const struct fsmoe_drift_cell *cell,
		const struct judged *l, struct fsmoe_drift_result *result)
{
	double samples = 0;

	result->kind = (enum fsmoe_kind)cell[l->first].kind;
	result->lane = (enum fsmoe_lane)cell[l->first].lane;
	result->ratio = l->measured / l->predicted;
	for (int i = l->first; i < l->last; i++)
		samples += cell[i].samples;
	snprintf(result->sentence, sizeof(result->sentence),
		 "%s on the lane %s takes %.2f times what the profile says, beyond %.2f (%.0f "
		 "tasks, sizes: %d)",
		 fsmoe_kind_name(result->kind), fsmoe_lane_name(result->lane), result->ratio,
		 result->ratio > 1 ? 1 + d->bound : 1 / (1 + d->bound), samples,
		 l->last - l->first);
}

static int decide(const struct fsmoe_drift *d, const struct fsmoe_drift_cell *cell, int n,
		  struct fsmoe_drift_result *result, struct fsmoe_profile *fresh)
{
	struct judged line[FSMOE_NKINDS * FSMOE_NLANES];
	const int lines = judge(d, cell, n, line);
	double measured = 0, predicted = 0, most = 0;

	for (int i = 0; i < lines; i++)
	{
		measured += line[i].measured;
		predicted += line[i].predicted;
	}
	for (int i = 0; i < lines; i++)
	{
		const double ratio = line[i].measured / line[i].predicted,
			     time = fmax(line[i].measured, line[i].predicted);
		int err;

		if ((line[i].measured < LEAST_SHARE * measured &&
		     line[i].predicted < LEAST_SHARE * predicted) ||
		    !(line[i].predicted > 0) || fmax(ratio, 1 / ratio) <= 1 + d->bound)
			continue;
		result->drifted++;
		if (time > most)
		{
			most = time;
			say(d, cell, &line[i], result);
		}
		err = relay(fresh, cell, &line[i]);
		if (err)
			return err;
	}
	return 0;
}

int fsmoe_drift_decide(fsmoe_drift_t d, const struct fsmoe_drift_cell *cells, int n,
		       struct fsmoe_drift_result *result, fsmoe_profile_t *fresh)
{
	struct fsmoe_drift_cell *cell = malloc(((size_t)n + 1) * sizeof(*cell));
	fsmoe_profile_t profile = NULL;
	int err = cell ? fsmoe_profile_create(&profile)
		       : fsmoe_fail(ENOMEM, "no memory for what %d tasks took", n);

	*result = (struct fsmoe_drift_result){0};
	if (!err)
	{
		memcpy(cell, cells, (size_t)n * sizeof(*cell));
		qsort(cell, (size_t)n, sizeof(*cell), by_place);
		*profile = d->used;
		err = decide(d, cell, merge(cell, n), result, profile);
	}
	free(cell);
	if (err || !result->drifted || !fresh)
	{
		fsmoe_profile_destroy(profile);
		profile = NULL;
	}
	if (!err && fresh)
		*fresh = profile;
	return err;
}
