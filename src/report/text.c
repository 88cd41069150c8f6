/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <math.h>
#include <string.h>

static double number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

/* A line of the summary, left out where the run does not have it. */
static void line(FILE *f, const char *what, const char *format, double value)
{
	if (!isfinite(value))
		return;
	fprintf(f, "  %-22s ", what);
	fprintf(f, format, value); /* one of the formats below */
	fputc('\n', f);
}

static void write_summary(const json_t *summary, FILE *f)
{
	line(f, "steps", "%.0f", number(summary, "steps"));
	line(f, "first loss", "%.4f", number(summary, "first_loss"));
	line(f, "last loss", "%.4f", number(summary, "last_loss"));
	line(f, "held-out loss", "%.4f", number(summary, "held_out_loss"));
	line(f, "tokens", "%.0f", number(summary, "tokens"));
	line(f, "tokens/s", "%.0f", number(summary, "tokens_per_s"));
	line(f, "ms a step, median", "%.2f", number(summary, "median_ms"));
	line(f, "ms a step, tenth", "%.2f", number(summary, "p10_ms"));
	line(f, "ms a step, nine tenths", "%.2f", number(summary, "p90_ms"));
	line(f, "choices dropped, %", "%.2f", 100 * number(summary, "dropped_share"));
}

static void write_part(FILE *f, const char *what, double us, double span)
{
	if (us > 0)
		fprintf(f, "    %-30s %10.3f ms  %5.1f %%\n", what, 1e-3 * us, 100 * us / span);
}

static void write_split(const json_t *timeline, FILE *f)
{
	const double span = number(timeline, "span_us");
	const json_t *split = json_object_get(timeline, "split");
	json_t *part, *us;
	const char *kind;
	size_t i;

	fprintf(f, "\nThe recorded step: %.3f ms", 1e-3 * span);
	if (isfinite(number(timeline, "predicted_us")))
		fprintf(f, ", predicted %.3f ms", 1e-3 * number(timeline, "predicted_us"));
	fputc('\n', f);
	json_array_foreach(split, i, part)
	{
		char what[64];

		fprintf(f, "  %s\n", json_string_value(json_object_get(part, "track")));
		json_object_foreach(json_object_get(part, "compute"), kind, us)
			write_part(f, kind, json_number_value(us), span);
		json_object_foreach(json_object_get(part, "exposed"), kind, us)
		{
			snprintf(what, sizeof(what), "%s, exposed", kind);
			write_part(f, what, json_number_value(us), span);
		}
		write_part(f, "ready, not yet started", number(part, "started"), span);
		write_part(f, "nothing ready", number(part, "waiting"), span);
	}
}

static void write_kinds(const json_t *timeline, FILE *f)
{
	json_t *row;
	size_t i;

	fprintf(f, "\n  %-16s %6s %14s %14s %8s\n", "kind", "tasks", "measured ms", "predicted ms",
		"error");
	json_array_foreach(json_object_get(timeline, "by_kind"), i, row)
	{
		const double measured = number(row, "measured_us"),
			     predicted = number(row, "predicted_us");

		fprintf(f, "  %-16s %6.0f %14.3f", json_string_value(json_object_get(row, "kind")),
			number(row, "tasks"), 1e-3 * measured);
		if (isfinite(predicted))
			fprintf(f, " %14.3f %7.0f%%", 1e-3 * predicted,
				100 * (predicted / measured - 1));
		fputc('\n', f);
	}
}

void fsmoe_report_write_text(const struct fsmoe_report *report, FILE *f)
{
	const json_t *timeline = json_object_get(report->root, "timeline");
	json_t *said;
	size_t i;

	fprintf(f, "%s\n\n", report->dir);
	write_summary(json_object_get(report->root, "summary"), f);
	if (timeline)
	{
		write_split(timeline, f);
		write_kinds(timeline, f);
	}
	if (json_array_size(json_object_get(report->root, "log")))
		fputs("\nThe run said\n", f);
	json_array_foreach(json_object_get(report->root, "log"), i, said)
		fprintf(f, "  %s\n", json_string_value(said));
}
