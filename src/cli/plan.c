/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/planning.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct cli_planning, field)

const struct fsmoe_option cli_plan_options[] = {
	FLAG("json", json, "Write the plan as JSON; several as an array"),
	TEXT("out", out, "FILE", "Write the plan into a file (one schedule)"),
	CLI_PLANNING_ROWS,
	{.type = FSMOE_OPTION_END},
};

static double mb(const struct fsmoe_share *share)
{
	return (double)share->bytes / 1e6;
}

static int same_layer(const struct fsmoe_plan_layer *a, const struct fsmoe_plan_layer *b)
{
	return a->forward_degree == b->forward_degree && a->backward_degree == b->backward_degree &&
	       a->moe.bytes == b->moe.bytes && a->moe.pieces == b->moe.pieces &&
	       a->dense.bytes == b->dense.bytes && a->dense.pieces == b->dense.pieces;
}

/* A line for every run of equal layers. */
static void print_layers(const struct fsmoe_plan *plan)
{
	puts("  layers      chunks            gradients beside");
	puts("              forward backward  experts MB (pieces)  dense part MB (pieces)");
	for (int i = 0, j; i < plan->layers; i = j)
	{
		const struct fsmoe_plan_layer *l = &plan->layer[i];
		char range[32];

		for (j = i + 1; j < plan->layers && same_layer(l, &plan->layer[j]); j++)
			;
		snprintf(range, sizeof(range), j > i + 1 ? "%d - %d" : "%d", i, j - 1);
		printf("  %-10s  %7d %8d  %10.3f (%d)  %17.3f (%d)\n", range, l->forward_degree,
		       l->backward_degree, mb(&l->moe), l->moe.pieces, mb(&l->dense),
		       l->dense.pieces);
	}
}

static void print_plan(const struct fsmoe_plan *plan)
{
	printf("schedule %s, %d layers\n", plan->schedule, plan->layers);
	print_layers(plan);
	printf("  at the end  %.3f MB (%d), %.3f ms\n", mb(&plan->tail), plan->tail.pieces,
	       1e3 * plan->tail_seconds);
	printf("  predicted   %.3f ms = forward %.3f + backward %.3f + exchange at the end %.3f\n",
	       1e3 * fsmoe_train_plan_seconds(plan, 1), 1e3 * plan->forward, 1e3 * plan->backward,
	       1e3 * plan->tail_seconds);
}

static int print_json(const struct fsmoe_plan *plan)
{
	char *text;
	int err = fsmoe_plan_text(plan, &text);

	if (err)
		return err;
	fputs(text, stdout);
	free(text);
	return 0;
}

/* Nothing where the profile does not say. */
static void print_arithmetic(fsmoe_profile_t profile)
{
	if (*fsmoe_profile_device(profile) && *fsmoe_profile_dtype(profile))
		printf("by a profile of the device %s in %s\n", fsmoe_profile_device(profile),
		       fsmoe_profile_dtype(profile));
}

static int plan_rows(const struct cli_planning *o, const struct cli_problem *p,
		     fsmoe_profile_t profile)
{
	if (!o->json)
		print_arithmetic(profile);
	for (int i = 0; i < p->rows; i++)
	{
		struct fsmoe_plan plan;
		int err = fsmoe_plan_create(&plan, &p->problem, &p->row[i]);

		if (err)
			return FSMOE_EXIT_USAGE;
		if (o->json)
		{
			fputs(p->rows > 1 ? (i ? ",\n" : "[\n") : "", stdout);
			err = print_json(&plan);
			fputs(p->rows > 1 && i + 1 == p->rows ? "]\n" : "", stdout);
		}
		else
			print_plan(&plan);
		if (!err && o->out)
			err = fsmoe_plan_save(&plan, o->out);
		fsmoe_plan_destroy(&plan);
		if (err)
			return FSMOE_EXIT_RUN;
	}
	return FSMOE_EXIT_OK;
}

static int check(const struct cli_planning *o)
{
	if (o->out && o->train.schedule && !strcmp(o->train.schedule, "all"))
		return fsmoe_fail(EINVAL, "--out is the file of one plan: name one --schedule");
	return 0;
}

int cli_plan(int argc, char **argv)
{
	return cli_planning_run(cli_plan_options, "fsmoe", check, plan_rows, argc, argv);
}
