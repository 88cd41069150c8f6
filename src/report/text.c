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

static void write_parts(FILE *f, const json_t *parts, const char *suffix, double span)
{
	char what[64];
	const char *key;
	json_t *us;

	json_object_foreach((json_t *)parts, key, us)
	{
		snprintf(what, sizeof(what), "%s%s", key, suffix);
		write_part(f, what, json_number_value(us), span);
	}
}

static void write_split(const json_t *timeline, FILE *f)
{
	const double span = number(timeline, "span_us");
	json_t *part;
	size_t i;

	fprintf(f, "\nThe recorded step: %.3f ms", 1e-3 * span);
	if (isfinite(number(timeline, "predicted_us")))
		fprintf(f, ", predicted %.3f ms", 1e-3 * number(timeline, "predicted_us"));
	fputs("; by what the compute lane did or waited for\n", f);
	json_array_foreach(json_object_get(timeline, "split"), i, part)
	{
		fprintf(f, "  %s\n", json_string_value(json_object_get(part, "track")));
		write_parts(f, json_object_get(part, "compute"), "", span);
		write_parts(f, json_object_get(part, "exposed"), ", exposed", span);
		write_parts(f, json_object_get(part, "waits"), "", span);
	}
}

/* Of every lane: the part in which it ran, and of each cause the part in which it stood still. */
static void write_lanes(const json_t *timeline, FILE *f)
{
	static const char *const lanes[] = {"compute", "intra", "inter"};
	const double span = number(timeline, "span_us");
	const json_t *causes = json_object_get(timeline, "causes");
	json_t *lane, *cause;
	size_t i, c;

	fprintf(f, "\nWaiting by cause, %% of the step\n  %-15s %11s", "", "runs");
	json_array_foreach(causes, c, cause)
		fprintf(f, " %11s", json_string_value(json_object_get(cause, "name")));
	fputc('\n', f);
	json_array_foreach(json_object_get(timeline, "lanes"), i, lane)
	{
		const json_t *waits = json_object_get(lane, "waits");

		fprintf(f, "  rank %-2.0f %-7s %11.1f", number(lane, "rank"),
			lanes[(int)number(lane, "lane")], 100 * number(lane, "run") / span);
		json_array_foreach(causes, c, cause)
		{
			const double us =
				number(waits, json_string_value(json_object_get(cause, "name")));
			fprintf(f, " %11.1f", isfinite(us) ? 100 * us / span : 0);
		}
		fputc('\n', f);
	}
}

static void write_path(const json_t *timeline, FILE *f)
{
	const json_t *path = json_object_get(timeline, "path");
	const double span = number(timeline, "span_us");
	json_t *delay;
	size_t i;

	fprintf(f, "\nThe critical path: %.3f ms, %.1f %% of the step\n", 1e-3 * number(path, "us"),
		100 * number(path, "us") / span);
	write_parts(f, json_object_get(path, "tasks"), "", span);
	write_parts(f, json_object_get(path, "edges"), "", span);
	if (json_array_size(json_object_get(path, "delays")))
		fputs("  What held it up most:\n", f);
	json_array_foreach(json_object_get(path, "delays"), i, delay)
		fprintf(f, "    %s\n", json_string_value(json_object_get(delay, "text")));
}

/* Gradients beside what, and how much of each window they filled. */
static void write_windows(const json_t *timeline, FILE *f)
{
	const json_t *windows = json_object_get(timeline, "windows");
	json_t *row;
	size_t i;

	if (!json_array_size(windows))
		return;
	fprintf(f, "\n  %-20s %10s %14s %14s %14s\n", "gradients beside", "window ms",
		"gradients ms", "KB", "other ms");
	json_array_foreach(windows, i, row)
	{
		char what[64];

		if (number(row, "layer") < 0)
			snprintf(what, sizeof(what), "nothing, at the end");
		else
			snprintf(what, sizeof(what), "layer %.0f, %s", number(row, "layer"),
				 json_string_value(json_object_get(row, "part")));
		fprintf(f, "  %-20s %10.3f %14.3f %14.1f %14.3f\n", what, 1e-3 * number(row, "us"),
			1e-3 * number(row, "gradient_us"), 1e-3 * number(row, "gradient_bytes"),
			1e-3 * number(row, "other_us"));
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
		write_lanes(timeline, f);
		write_path(timeline, f);
		write_kinds(timeline, f);
		write_windows(timeline, f);
	}
	if (json_array_size(json_object_get(report->root, "log")))
		fputs("\nThe run said\n", f);
	json_array_foreach(json_object_get(report->root, "log"), i, said)
		fprintf(f, "  %s\n", json_string_value(said));
}
