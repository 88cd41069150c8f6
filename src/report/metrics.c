/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Curves: a key of metrics.jsonl each. */
static const char *const columns[] = {
	"step",    "loss",     "lr",        "grad_norm", "tokens_per_s", "ms",          "routed",
	"dropped", "load_min", "load_mean", "load_max",  "entropy",      "gflops_per_s"};
#define NCOLUMNS (sizeof(columns) / sizeof(columns[0]))

/* More points than a screen has columns show nothing more. */
enum
{
	MOST_POINTS = 3000
};

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* The p-quantile of the numbers of a key; NaN without any. */
static double quantile(const json_t *rows, const char *key, double p)
{
	const size_t n = json_array_size(rows);
	double *value = calloc(n + 1, sizeof(*value)), found = NAN;
	size_t have = 0;

	for (size_t i = 0; value && i < n; i++)
	{
		const json_t *number = json_object_get(json_array_get(rows, i), key);
		if (json_is_number(number))
			value[have++] = json_number_value(number);
	}
	if (have)
	{
		qsort(value, have, sizeof(*value), by_value);
		found = value[(size_t)(p * (double)(have - 1) + 0.5)];
	}
	free(value);
	return found;
}

static double at(const json_t *rows, size_t i, const char *key)
{
	const json_t *number = json_object_get(json_array_get(rows, i), key);

	return json_is_number(number) ? json_number_value(number) : NAN;
}

static void put(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, isfinite(value) ? json_real(value) : json_null());
}

static void summarize(json_t *root, const json_t *rows, const json_t *held_out)
{
	const size_t n = json_array_size(rows), h = json_array_size(held_out);
	json_t *summary = json_object();
	double seconds = 0, tokens = 0, routed = 0, dropped = 0;

	for (size_t i = 0; i < n; i++)
	{
		const double ms = at(rows, i, "ms"), part = at(rows, i, "routed");
		seconds += isfinite(ms) ? 1e-3 * ms : 0;
		tokens += isfinite(ms) ? at(rows, i, "tokens") : 0;
		routed += isfinite(part) ? part : 0;
		dropped += isfinite(part) ? at(rows, i, "dropped") : 0;
	}
	json_object_set_new(summary, "steps", json_integer((json_int_t)n));
	put(summary, "first_loss", at(rows, 0, "loss"));
	put(summary, "last_loss", at(rows, n - 1, "loss"));
	put(summary, "held_out_loss",
	    h ? json_number_value(json_array_get(json_array_get(held_out, h - 1), 1)) : NAN);
	put(summary, "seconds", seconds);
	put(summary, "tokens", tokens);
	put(summary, "tokens_per_s", seconds > 0 ? tokens / seconds : NAN);
	put(summary, "median_ms", quantile(rows, "ms", 0.5));
	put(summary, "p10_ms", quantile(rows, "ms", 0.1));
	put(summary, "p90_ms", quantile(rows, "ms", 0.9));
	put(summary, "dropped_share", routed > 0 ? dropped / routed : NAN);
	json_object_set_new(root, "summary", summary);
}

/* The i-th point drawn of n rows is this row; the last is always one. */
static size_t row_of(size_t i, size_t stride, size_t n)
{
	return i * stride < n ? i * stride : n - 1;
}

static void add_columns(json_t *root, const json_t *rows)
{
	const size_t n = json_array_size(rows), stride = (n + MOST_POINTS - 1) / MOST_POINTS,
		     points = (n - 1 + stride - 1) / stride + 1;
	json_t *all = json_object();

	for (size_t c = 0; c < NCOLUMNS; c++)
	{
		json_t *column = json_array();
		size_t numbers = 0;

		for (size_t i = 0; i < points; i++)
		{
			const double value = at(rows, row_of(i, stride, n), columns[c]);
			numbers += isfinite(value);
			json_array_append_new(column,
					      isfinite(value) ? json_real(value) : json_null());
		}
		if (numbers)
			json_object_set(all, columns[c], column);
		json_decref(column);
	}
	json_object_set_new(root, "columns", all);
	json_object_set_new(root, "stride", json_integer((json_int_t)stride));
}

/* The heat map: at most so many steps, each with the tokens of every expert-parallel rank. */
static void add_rank_load(json_t *root, const json_t *rows)
{
	enum
	{
		CELLS = 160
	};
	const size_t n = json_array_size(rows), stride = (n + CELLS - 1) / CELLS;
	json_t *load = json_array();

	for (size_t i = 0; i < n; i += stride)
	{
		json_t *row = json_array_get(rows, i), *part = json_object_get(row, "rank_load");
		json_t *line = json_array();

		json_array_append(line, json_object_get(row, "step"));
		if (json_is_array(part) && !json_array_extend(line, part))
			json_array_append(load, line);
		json_decref(line);
	}
	json_object_set_new(root, "rank_load", load);
}

static int add_line(json_t *rows, json_t *held_out, const char *line)
{
	json_t *row = json_loads(line, 0, NULL);
	const json_t *loss = json_object_get(row, "val_loss");
	const int good = json_is_number(json_object_get(row, "step"));

	if (good && loss)
		json_array_append_new(held_out, json_pack("[O, O]", json_object_get(row, "step"),
							  (json_t *)loss));
	else if (good)
		json_array_append(rows, row);
	json_decref(row);
	return good ? 0 : -EPROTO;
}

int fsmoe_report_add_metrics(json_t *root, char *text, const char *path)
{
	json_t *rows = json_array(), *held_out = json_array();
	char *rest = text, *line;
	int number = 0, err = 0;

	while (!err && rest && (line = strsep(&rest, "\n")))
	{
		number++;
		if (*line && rest && add_line(rows, held_out, line))
			err = fsmoe_fail(EPROTO,
					 "%s:%d: this line is no JSON object with a step: the file "
					 "is damaged, remove the line",
					 path, number);
	}
	if (!err && json_array_size(rows) == 0)
		err = fsmoe_fail(EPROTO, "%s has no step: the run did not get to its first", path);
	if (!err)
	{
		summarize(root, rows, held_out);
		add_columns(root, rows);
		add_rank_load(root, rows);
		fsmoe_report_add_experts(root, rows);
		json_object_set(root, "held_out", held_out);
	}
	json_decref(rows);
	json_decref(held_out);
	return err;
}
