/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/options.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/schedule.h>
#include <stdio.h>
#include <string.h>

/* Names of the values, in the order of the enums. */
static const char *const degrees[] = {"one", "best", NULL};
static const char *const lanes[] = {"compute", "intra", "inter", NULL};
static const char *const weights[] = {"per-chunk", "deferred", NULL};
static const char *const gradients[] = {"at-end", "beside-dense", "fixed", "adaptive", NULL};

/* A schedule row as the file writes it. */
struct row
{
	const char *name, *doc, *forward_degree, *backward_degree, *alltoall_lane, *gather_lane,
		*weight_gradients, *gradients;
	int overlap_experts; /* in older files: accepted, has no effect */
	double gradient_bytes;
};

#define CHOICE(field, values)                                                                      \
	{                                                                                          \
		.type = FSMOE_OPTION_STRING, .name = #field,                                       \
		.offset = offsetof(struct row, field), .choices = (values)                         \
	}

static const struct fsmoe_option columns[] = {
	CHOICE(name, NULL),
	CHOICE(doc, NULL),
	CHOICE(forward_degree, degrees),
	CHOICE(backward_degree, degrees),
	CHOICE(alltoall_lane, lanes),
	CHOICE(gather_lane, lanes),
	CHOICE(weight_gradients, weights),
	CHOICE(gradients, gradients),
	{.type = FSMOE_OPTION_FLAG,
	 .name = "overlap_experts",
	 .offset = offsetof(struct row, overlap_experts)},
	{.type = FSMOE_OPTION_REAL,
	 .name = "gradient_bytes",
	 .offset = offsetof(struct row, gradient_bytes)},
	{.type = FSMOE_OPTION_END},
};

/* The index of a value, which the options have checked. */
static int value_index(const char *const *values, const char *value)
{
	int i = 0;

	while (strcmp(values[i], value))
		i++;
	return i;
}

static int fill_schedule(struct fsmoe_schedule *s, const struct row *row, const char *path)
{
	*s = (struct fsmoe_schedule){
		.forward_degree = (enum fsmoe_degree_rule)value_index(degrees, row->forward_degree),
		.backward_degree =
			(enum fsmoe_degree_rule)value_index(degrees, row->backward_degree),
		.alltoall_lane = (enum fsmoe_lane)value_index(lanes, row->alltoall_lane),
		.gather_lane = (enum fsmoe_lane)value_index(lanes, row->gather_lane),
		.weight_gradients =
			(enum fsmoe_weight_rule)value_index(weights, row->weight_gradients),
		.gradients = (enum fsmoe_gradient_rule)value_index(gradients, row->gradients),
		.gradient_bytes = row->gradient_bytes,
	};
	if (strlen(row->name) >= sizeof(s->name) || strlen(row->doc) >= sizeof(s->doc))
		return fsmoe_fail(EINVAL,
				  "%s: name or doc is too long: there is room for %d and %d", path,
				  FSMOE_SCHEDULE_NAME - 1, FSMOE_SCHEDULE_DOC - 1);
	snprintf(s->name, sizeof(s->name), "%s", row->name);
	snprintf(s->doc, sizeof(s->doc), "%s", row->doc);
	return 0;
}

int fsmoe_schedule_load(struct fsmoe_schedule *schedule, const char *path)
{
	/* An omitted column has the value of the row fsmoe. */
	struct row row = {.name = "",
			  .doc = "",
			  .forward_degree = "best",
			  .backward_degree = "best",
			  .alltoall_lane = "inter",
			  .gather_lane = "intra",
			  .weight_gradients = "per-chunk",
			  .gradients = "adaptive"};
	struct fsmoe_schedule fresh;
	struct fsmoe_json json;
	char why[256];
	int err = fsmoe_json_load(&json, path);

	if (err)
		return err;
	err = fsmoe_options_json(columns, &json, &row);
	if (!err)
		err = fill_schedule(&fresh, &row, path);
	if (!err && fsmoe_schedule_check(&fresh))
	{
		snprintf(why, sizeof(why), "%s", fsmoe_last_error());
		err = fsmoe_fail(EINVAL, "%s: %s", path, why);
	}
	fsmoe_json_free(&json);
	if (!err)
		*schedule = fresh;
	return err;
}
