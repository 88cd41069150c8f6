/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <math.h>
#include <string.h>

/* A recorded step in five sentences. */

static double number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

static void say_length(const json_t *root, FILE *f)
{
	const json_t *tl = json_object_get(root, "timeline");
	const double span = number(tl, "span_us"), predicted = number(tl, "predicted_us");

	fprintf(f, "The recorded step took %.2f ms; the run's median is %.2f ms.", 1e-3 * span,
		number(json_object_get(root, "summary"), "median_ms"));
	if (isfinite(predicted))
		fprintf(f, " Its profile predicts %.2f ms, %.0f %% of it.", 1e-3 * predicted,
			100 * predicted / span);
	fputc('\n', f);
}

/* The critical path: what is communication, what computes, what is neither. */
static void say_bound(const json_t *tl, FILE *f)
{
	static const char *const moves[] = {"alltoall", "allgather", "reduce-scatter", "allreduce",
					    "broadcast"};
	const json_t *path = json_object_get(tl, "path");
	const double all = number(path, "us");
	double part[3] = {0}; /* computation, communication, neither */
	static const char *const names[] = {"computation", "communication",
					    "the scheduler and StarPU"};
	const char *key, *top = "";
	double most = 0;
	json_t *us;
	int bound = 0;

	json_object_foreach(json_object_get(path, "tasks"), key, us)
	{
		int communication = 0;

		for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++)
			communication |= !strcmp(key, moves[i]);
		part[communication] += json_number_value(us);
		if (json_number_value(us) > most)
		{
			most = json_number_value(us);
			top = key;
		}
	}
	json_object_foreach(json_object_get(path, "edges"), key, us) part[2] +=
		json_number_value(us);
	for (int i = 1; i < 3; i++)
		bound = part[i] > part[bound] ? i : bound;
	fprintf(f,
		"It is bound by %s: of its critical path %.0f %% computes, %.0f %% communicates "
		"and "
		"%.0f %% is in between; most is %s, %.0f %%.\n",
		names[bound], 100 * part[0] / all, 100 * part[1] / all, 100 * part[2] / all, top,
		100 * most / all);
}

/* In the mean over compute lanes, the three causes they waited for longest. */
static void say_waits(const json_t *tl, FILE *f)
{
	const double span = number(tl, "span_us");
	const json_t *causes = json_object_get(tl, "causes");
	double runs = 0, waited[32] = {0};
	int ranks = 0;
	json_t *lane, *cause;
	size_t i, c;

	json_array_foreach(json_object_get(tl, "lanes"), i, lane)
	{
		if (number(lane, "lane") != 0)
			continue;
		ranks++;
		runs += number(lane, "run");
		json_array_foreach(causes, c, cause)
		{
			const double us = number(json_object_get(lane, "waits"),
						 json_string_value(json_object_get(cause, "name")));
			waited[c] += isfinite(us) ? us : 0;
		}
	}
	fprintf(f, "Compute lanes run %.0f %% of it and wait", 100 * runs / ranks / span);
	for (int shown = 0; shown < 3; shown++)
	{
		size_t most = 0;

		for (c = 1; c < json_array_size(causes); c++)
			most = waited[c] > waited[most] ? c : most;
		cause = json_array_get(causes, most);
		fprintf(f, "%s %.0f %% for '%s' (%s)", shown ? "," : "",
			100 * waited[most] / ranks / span,
			json_string_value(json_object_get(cause, "name")),
			json_string_value(json_object_get(cause, "doc")));
		waited[most] = -1;
	}
	fputs(".\n", f);
}

static void say_delay(const json_t *tl, FILE *f)
{
	const json_t *delay =
		json_array_get(json_object_get(json_object_get(tl, "path"), "delays"), 0);

	if (delay)
		fprintf(f, "What held it up most: %s.\n",
			json_string_value(json_object_get(delay, "text")));
	else
		fputs("No single task held it up by more than 1 %.\n", f);
}

static void say_experts(const json_t *root, FILE *f)
{
	const json_t *rows = json_object_get(root, "rank_load"),
		     *row = json_array_get(rows, json_array_size(rows) - 1);
	const double dropped = number(json_object_get(root, "summary"), "dropped_share");
	double all = 0, most = 0;

	for (size_t i = 1; i < json_array_size(row); i++)
	{
		const double tokens = json_number_value(json_array_get(row, i));

		all += tokens;
		most = fmax(most, tokens);
	}
	if (all > 0)
		fprintf(f,
			"The fullest expert-parallel rank has %.2f times its even share of tokens; "
			"%.1f %% of the choices are dropped.\n",
			most * (double)(json_array_size(row) - 1) / all, 100 * dropped);
}

void fsmoe_report_write_words(const struct fsmoe_report *report, FILE *f)
{
	const json_t *tl = json_object_get(report->root, "timeline");

	say_length(report->root, f);
	say_bound(tl, f);
	say_waits(tl, f);
	say_delay(tl, f);
	say_experts(report->root, f);
}
