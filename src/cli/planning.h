/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_PLANNING_H
#define FSMOE_CLI_PLANNING_H

#include "base/option_rows.h"
#include "cli/cli.h"
#include "config/config.h"

#include <fsmoe/plan.h>
#include <limits.h>

/*
 * Options of `plan` and `simulate`: those of training, on a described machine. Costs are read off
 * the graph of the step that `train` would run. The FSMoE paper's formulas give them for --testbed,
 * whose profiles have five lines only, and for the paper's models.
 */
struct cli_planning
{
	struct fsmoe_train_config train;
	const char *testbed, *machine;
	int batch; /* sequences of a data-parallel rank; 0: by train */
	/* What the formulas alone know. */
	int kv_heads, steady;
	double dense_forward, dense_backward;
	int powers, json;
	const char *out, *grid, *csv; /* of one of them alone */
};

extern const char *const cli_testbeds[]; /* "A", "B" */

/* clang-format off */
/* For a table of which AT(field) is in a struct cli_planning. */
#define CLI_PLANNING_ROWS \
	HEADING("Machine"), \
	TEXT("profile", train.profile, "FILE", \
	     "Take what tasks cost from this file (doc/formats.md)"), \
	CHOICE("testbed", testbed, "A|B", cli_testbeds, \
	       "Take the profile of one of the FSMoE paper's machines, and the paper's formulas"), \
	TEXT("machine", machine, "TEXT", \
	     "Plan for these nodes and devices, 'node:6 gpu:8' or file:PATH (default the " \
	     "profile's)"), \
	HEADING("Model"), \
	TEXT("config", train.config, "FILE", \
	     "Read options from a JSON object, as 'fsmoe train' does"), \
	TEXT("preset", train.preset, "NAME", \
	     "Start from a preset of 'fsmoe train', or from gpt2-xl (default with --testbed), " \
	     "mixtral-8x7b or mixtral-8x22b of the paper, with one expert for each node"), \
	ROWS_OF(fsmoe_train_options, train, \
		"layers heads hidden-size ffn-size hidden experts top-k " \
		"capacity-factor routing-group vocab-size gate order dispatch expert " \
		"expert-activation expert-bias xmoe-dim softmoe-normalize balance-loss " \
		"importance-loss z-loss drop-policy routing-weights allow-leak bidirectional " \
		"attention moe"), \
	HEADING("Training"), \
	INT("batch", batch, 0, 1 << 24, \
	    "Train on N sequences of each data-parallel rank, in place of --global-batch; 0: by " \
	    "that"), \
	ROWS_OF(fsmoe_train_options, train, \
		"global-batch micro-batches seq-length optimizer objective clip-grad-norm"), \
	HEADING("Layout"), \
	ROWS_OF(fsmoe_train_options, train, "nodes tp ep esp dp"), \
	HEADING("Schedule"), \
	TEXT("schedule", train.schedule, "NAME", \
	     "Plan this row of 'fsmoe info', all of them with 'all', or a file with a row"), \
	ROWS_OF(fsmoe_train_options, train, "max-degree device"), \
	FLAG("powers", powers, "Plan only 1, 2, 4, ... chunks"), \
	HEADING("Formulas of the paper"), \
	INT("kv-heads", kv_heads, 0, INT_MAX, \
	    "Use N heads for keys and values; 0: the preset's, or as many as heads"), \
	REAL("dense-forward", dense_forward, 0, 1e9, \
	     "Take X measured seconds for computing a layer's dense part; 0: by formula"), \
	REAL("dense-backward", dense_backward, 0, 1e9, \
	     "Take X seconds for it backward; 0: twice forward"), \
	FLAG("steady", steady, \
	     "Plan layers in the middle of a long model: nothing before them, nothing after")
/* clang-format on */

/* A problem, its layers and the schedules to plan. */
struct cli_problem
{
	struct fsmoe_plan_problem problem;
	struct fsmoe_schedule row[FSMOE_PUBLISHED_SCHEDULES];
	int rows;
};

/* What a command does with a problem; none is made for --grid. Returns an exit code. */
typedef int (*cli_planning_fn)(const struct cli_planning *o, const struct cli_problem *problem,
			       fsmoe_profile_t profile);
/* Runs a command: reads its options (defaults < preset < --config FILE < command line), checks them
 * as training does, finds the rows of --schedule (default `schedule`) and the costs of the layers.
 * check: 0, or -EINVAL with a sentence. */
int cli_planning_run(const struct fsmoe_option *table, const char *schedule,
		     int (*check)(const struct cli_planning *o), cli_planning_fn run, int argc,
		     char **argv);

/* These return an exit code, with the sentence in fsmoe_last_error(). */
/* A schedule by its name, or from a file: what has a '.' or a '/' in it. */
int cli_planning_row(const char *name, struct fsmoe_schedule *row);
/* The exchange's line and the degrees, which do not depend on layers. */
int cli_planning_start(const struct cli_planning *o, fsmoe_profile_t profile,
		       struct fsmoe_plan_problem *problem);

/* Writes the pipeline degrees of a pass over all layers, "2" or "1 to 4" with `between` = " to ".
 * Returns text. */
enum
{
	CLI_DEGREE_TEXT = 32
};
const char *cli_degree_text(const struct fsmoe_plan *plan, int backward, const char *between,
			    char text[CLI_DEGREE_TEXT]);

#endif
