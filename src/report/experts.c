/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>

/* The load of experts by layer, from the rows of the metrics that have it. */

/* Of a layer's experts the fullest over their mean. */
static double peak(const json_t *layer)
{
	double most = 0, all = 0;

	for (size_t e = 0; e < json_array_size(layer); e++)
	{
		const double tokens = json_number_value(json_array_get(layer, e));

		most = fmax(most, tokens);
		all += tokens;
	}
	return all > 0 ? most * (double)json_array_size(layer) / all : 0;
}

/* [step, peak of the first layer, of the second, ...] */
static json_t *peaks(const json_t *row)
{
	const json_t *load = json_object_get(row, "expert_load");
	json_t *line = json_array();

	json_array_append(line, json_object_get(row, "step"));
	for (size_t l = 0; l < json_array_size(load); l++)
		json_array_append_new(line, json_real(peak(json_array_get(load, l))));
	return line;
}

/* Adds a row's load to the sums of the same shape. */
static void add(json_t *sums, const json_t *load)
{
	for (size_t l = 0; l < json_array_size(load); l++)
	{
		const json_t *layer = json_array_get(load, l);

		if (l == json_array_size(sums))
			json_array_append_new(sums, json_array());
		for (size_t e = 0; e < json_array_size(layer); e++)
		{
			json_t *sum = json_array_get(sums, l);
			const double tokens = json_number_value(json_array_get(layer, e));

			if (e == json_array_size(sum))
				json_array_append_new(sum, json_real(0));
			json_array_set_new(
				sum, e,
				json_real(tokens + json_number_value(json_array_get(sum, e))));
		}
	}
}

static void divide(json_t *sums, double by)
{
	json_t *layer, *sum;
	size_t l, e;

	json_array_foreach(sums, l, layer) json_array_foreach(layer, e, sum)
		json_real_set(sum, json_real_value(sum) / by);
}

/* "expert_load": {"from", "to": steps, "layers": [[tokens of an expert in the mean over these],
 * ...], "peak": [[step, fullest over mean by layer], ...]}; from the last tenth of the rows that
 * have it. */
void fsmoe_report_add_experts(json_t *root, const json_t *rows)
{
	enum
	{
		COLUMNS = 160
	};
	json_t *have = json_array(), *means = json_array(), *over = json_array(), *row;
	size_t i, n, last;

	json_array_foreach(rows, i, row) if (json_is_array(json_object_get(row, "expert_load")))
		json_array_append(have, row);
	n = json_array_size(have);
	last = n - (n + 9) / 10;
	for (i = 0; i < n; i += (n + COLUMNS - 1) / COLUMNS)
		json_array_append_new(over, peaks(json_array_get(have, i)));
	for (i = last; i < n; i++)
		add(means, json_object_get(json_array_get(have, i), "expert_load"));
	divide(means, (double)(n - last));
	if (n)
		json_object_set_new(root, "expert_load",
				    json_pack("{s:O, s:O, s:O, s:O}", "from",
					      json_object_get(json_array_get(have, last), "step"),
					      "to",
					      json_object_get(json_array_get(have, n - 1), "step"),
					      "layers", means, "peak", over));
	json_decref(have);
	json_decref(means);
	json_decref(over);
}
