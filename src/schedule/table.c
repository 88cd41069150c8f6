/* SPDX-License-Identifier: Apache-2.0 */
#include "base/suggest.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/schedule.h>
#include <math.h>
#include <string.h>

/* clang-format off */
static const struct fsmoe_schedule table[] = {
	{"ds-moe", "DeepSpeed-MoE: one chunk, nothing overlaps",
	 FSMOE_DEGREE_ONE, FSMOE_DEGREE_ONE, FSMOE_INTER, FSMOE_INTER,
	 FSMOE_WEIGHT_GRADIENTS_PER_CHUNK, FSMOE_GRADIENTS_AT_END, 0},
	{"tutel", "Tutel with PipeMoE: chunks, one communication stream, gradients at the end",
	 FSMOE_DEGREE_BEST, FSMOE_DEGREE_BEST, FSMOE_INTER, FSMOE_INTER,
	 FSMOE_WEIGHT_GRADIENTS_PER_CHUNK, FSMOE_GRADIENTS_AT_END, 0},
	{"tutel-improved", "Tutel, gradients beside the dense parts",
	 FSMOE_DEGREE_BEST, FSMOE_DEGREE_BEST, FSMOE_INTER, FSMOE_INTER,
	 FSMOE_WEIGHT_GRADIENTS_PER_CHUNK, FSMOE_GRADIENTS_BESIDE_DENSE, 0},
	{"pipemoe-lina",
	 "PipeMoE and Lina: gradients in pieces of 30 MB beside experts and dense parts",
	 FSMOE_DEGREE_BEST, FSMOE_DEGREE_BEST, FSMOE_INTER, FSMOE_INTER,
	 FSMOE_WEIGHT_GRADIENTS_PER_CHUNK, FSMOE_GRADIENTS_FIXED, 30e6},
	{"fsmoe-no-iio",
	 "FSMoE with one communication stream: AllGather and AlltoAll do not overlap",
	 FSMOE_DEGREE_BEST, FSMOE_DEGREE_BEST, FSMOE_INTER, FSMOE_INTER,
	 FSMOE_WEIGHT_GRADIENTS_PER_CHUNK, FSMOE_GRADIENTS_ADAPTIVE, 0},
	{"fsmoe", "FSMoE: three streams, gradients cut to fit the idle times between nodes",
	 FSMOE_DEGREE_BEST, FSMOE_DEGREE_BEST, FSMOE_INTER, FSMOE_INTRA,
	 FSMOE_WEIGHT_GRADIENTS_PER_CHUNK, FSMOE_GRADIENTS_ADAPTIVE, 0},
	/* After the published rows: what runs without --schedule and without a profile. */
	{"default", "three streams, weight gradients once a layer, gradients at the end",
	 FSMOE_DEGREE_BEST, FSMOE_DEGREE_BEST, FSMOE_INTER, FSMOE_INTRA,
	 FSMOE_WEIGHT_GRADIENTS_DEFERRED, FSMOE_GRADIENTS_AT_END, 0},
};
/* clang-format on */
enum
{
	NROWS = sizeof(table) / sizeof(table[0])
};

_Static_assert(NROWS == FSMOE_PUBLISHED_SCHEDULES + 1, "the published rows, then the default");

const char *fsmoe_lane_name(enum fsmoe_lane lane)
{
	static const char *const names[] = {"compute", "intra", "inter"};

	return names[lane];
}

const struct fsmoe_schedule *fsmoe_schedule_at(int i)
{
	return i >= 0 && i < NROWS ? &table[i] : NULL;
}

const struct fsmoe_schedule *fsmoe_schedule_default(void)
{
	return &table[FSMOE_PUBLISHED_SCHEDULES];
}

static const char *name_at(const void *unused, int i)
{
	(void)unused;
	return i < NROWS ? table[i].name : NULL;
}

const struct fsmoe_schedule *fsmoe_schedule_find(const char *name)
{
	char valid[256];
	const char *near;

	for (int i = 0; i < NROWS; i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	near = fsmoe_suggest(name, name_at, NULL);
	fsmoe_name_list(name_at, NULL, valid, sizeof(valid));
	fsmoe_fail(ENOENT, "there is no schedule '%s': there are %s%s%s%s", name, valid,
		   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	return NULL;
}

int fsmoe_schedule_check(const struct fsmoe_schedule *s)
{
	const int fixed = s->gradients == FSMOE_GRADIENTS_FIXED;
	const struct
	{
		int wrong;
		const char *column, *why;
	} rules[] = {
		{!*s->name, "name", "is empty"},
		{s->alltoall_lane == FSMOE_COMPUTE, "alltoall_lane", "must be intra or inter"},
		{s->gather_lane == FSMOE_COMPUTE, "gather_lane", "must be intra or inter"},
		{fixed && !(s->gradient_bytes >= 4 && isfinite(s->gradient_bytes)),
		 "gradient_bytes", "must be 4 or more for \"fixed\" gradients"},
		{!fixed && s->gradient_bytes != 0, "gradient_bytes",
		 "is only for \"fixed\" gradients"},
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].wrong)
			return fsmoe_fail(EINVAL, "schedule '%s': %s %s", s->name, rules[i].column,
					  rules[i].why);
	return 0;
}
