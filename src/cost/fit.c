/* SPDX-License-Identifier: Apache-2.0 */
#include <fsmoe/profile.h>

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>

/*
 * Measured times have a floor and a tail upwards: an interrupt makes a sample longer, never
 * shorter. So a first line goes through the medians of equal sizes, samples far from it are
 * dropped, and the least squares see the rest. Sizes span three orders of magnitude: errors count
 * relative to the time, or the largest size alone would decide and alpha would be noise.
 */

struct sample
{
	double n, t;
};

enum
{
	PASSES = 5 /* then nothing changes any more that a measurement could tell */
};

static int by_size(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return (x->t > y->t) - (x->t < y->t);
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *value, int n)
{
	qsort(value, (size_t)n, sizeof(*value), by_value);
	return n % 2 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
}

/* Reduces sorted samples to one of each size with the median time. */
static int medians(const struct sample *s, int n, struct sample *out)
{
	int sizes = 0;

	for (int i = 0, j; i < n; i = j)
	{
		for (j = i; j < n && s[j].n == s[i].n; j++)
			;
		out[sizes].n = s[i].n;
		out[sizes++].t = (s[i + (j - i) / 2].t + s[i + (j - i - 1) / 2].t) / 2;
	}
	return sizes;
}

/* One least squares of (alpha + beta n - t) / size of the time, both kept from being negative. The
 * size is what the line before says, or without one what was measured. */
static void solve_once(const struct sample *s, int n, int again, double *alpha, double *beta)
{
	double w0 = 0, w1 = 0, w2 = 0, y0 = 0, y1 = 0, det;

	for (int i = 0; i < n; i++)
	{
		const double line = again ? fsmoe_line_seconds(*alpha, *beta, s[i].n) : 0,
			     size = line > 0 ? line : s[i].t, w = 1 / (size * size);

		w0 += w;
		w1 += w * s[i].n;
		w2 += w * s[i].n * s[i].n;
		y0 += w * s[i].t;
		y1 += w * s[i].n * s[i].t;
	}
	det = w0 * w2 - w1 * w1;
	*alpha = (y0 * w2 - y1 * w1) / det;
	*beta = (y1 * w0 - y0 * w1) / det;
	if (*alpha < 0)
	{
		*alpha = 0;
		*beta = y1 / w2;
	}
	if (*beta < 0)
	{
		*beta = 0;
		*alpha = y0 / w0;
	}
}

/* Errors over what was measured alone would favour the quick of equal size: of operations that take
 * 1 and 2 the line would say 1.2. Over the line it says 1.5, their mean. */
static void solve(const struct sample *s, int n, double *alpha, double *beta)
{
	for (int i = 0; i < PASSES; i++)
		solve_once(s, n, i, alpha, beta);
}

static double distance(const struct sample *s, double alpha, double beta)
{
	return fabs(fsmoe_line_seconds(alpha, beta, s->n) - s->t) / s->t;
}

/* Moves outliers to the end and returns the number of samples kept. `work` holds n. */
static int keep(struct sample *s, int n, double alpha, double beta, double *work)
{
	struct sample *dropped = malloc((size_t)n * sizeof(*dropped));
	double limit;
	int kept = 0, out = 0;

	if (!dropped)
		return n;
	for (int i = 0; i < n; i++)
		work[i] = distance(&s[i], alpha, beta);
	/* A perfect line has a median of rounding errors: a thousandth is never an outlier. */
	limit = fmax(5 * median(work, n), 1e-3);
	for (int i = 0; i < n; i++)
		if (distance(&s[i], alpha, beta) <= limit)
			s[kept++] = s[i];
		else
			dropped[out++] = s[i];
	for (int i = 0; i < out; i++)
		s[kept + i] = dropped[i];
	free(dropped);
	/* One size makes no line: then no sample was an outlier. */
	if (s[0].n == s[kept - 1].n)
	{
		qsort(s, (size_t)n, sizeof(*s), by_size);
		return n;
	}
	return kept;
}

/* R2 of the medians that the line was laid through, as of a paper's plot of averages. */
static double r_squared(const struct sample *s, int n, const struct fsmoe_fit *fit)
{
	double mean = 0, total = 0, left = 0;

	for (int i = 0; i < n; i++)
		mean += s[i].t / n;
	for (int i = 0; i < n; i++)
	{
		const double line = fsmoe_line_seconds(fit->alpha, fit->beta, s[i].n);

		total += (s[i].t - mean) * (s[i].t - mean);
		left += (s[i].t - line) * (s[i].t - line);
	}
	return total > left ? 1 - left / total : 0;
}

static void judge(const struct sample *s, int n, double *work, struct fsmoe_fit *fit)
{
	for (int i = 0; i < n; i++)
		work[i] = distance(&s[i], fit->alpha, fit->beta);
	fit->residual = median(work, n);
	fit->low = s[0].n;
	fit->high = s[0].n;
	for (int i = 1; i < n; i++)
	{
		fit->low = fmin(fit->low, s[i].n);
		fit->high = fmax(fit->high, s[i].n);
	}
}

static int check(const double *n, const double *seconds, int count)
{
	int sizes = count > 0;

	for (int i = 0; i < count; i++)
	{
		if (!isfinite(n[i]) || n[i] < 0 || !isfinite(seconds[i]) || seconds[i] <= 0)
			return fsmoe_fail(EINVAL,
					  "measurement %d of %d, %g seconds for a size of %g, is "
					  "none: both must be finite, the time positive",
					  i + 1, count, seconds[i], n[i]);
		sizes += n[i] != n[0];
	}
	return sizes >= 2 ? 0
			  : fsmoe_fail(EINVAL,
				       "%d measurements of one size make no line: measure at least "
				       "two sizes",
				       count);
}

int fsmoe_fit_line(const double *n, const double *seconds, int count, struct fsmoe_fit *fit)
{
	struct fsmoe_fit f = {.samples = count};
	struct sample *s, *first;
	double *work;
	int err = check(n, seconds, count), kept, sizes;

	if (err)
		return err;
	s = malloc((size_t)count * sizeof(*s));
	first = malloc((size_t)count * sizeof(*first));
	work = malloc((size_t)count * sizeof(*work));
	if (s && first && work)
	{
		for (int i = 0; i < count; i++)
			s[i] = (struct sample){n[i], seconds[i]};
		qsort(s, (size_t)count, sizeof(*s), by_size);
		solve(first, medians(s, count, first), &f.alpha, &f.beta);
		kept = keep(s, count, f.alpha, f.beta, work);
		sizes = medians(s, kept, first);
		solve(first, sizes, &f.alpha, &f.beta);
		f.r2 = r_squared(first, sizes, &f);
		f.dropped = count - kept;
		judge(s, kept, work, &f);
		*fit = f;
	}
	else
		err = fsmoe_fail(ENOMEM, "no memory to fit %d measurements", count);
	free(s);
	free(first);
	free(work);
	return err;
}
