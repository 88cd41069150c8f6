/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_PLANNING_H
#define FSMOE_CLI_PLANNING_H

#include "base/option_rows.h"
#include "cli/cli.h"
#include "config/config.h"

#include <fsmoe/plan.h>
#include <limits.h>

/* What `plan` and `simulate` share: a profile, a machine, a model's sizes, schedules. */
struct cli_planning
{
	const char *profile, *testbed, *machine, *schedule;
	const char *preset, *expert;
	int layers, batch, seq, model_dim, hidden, heads, kv_heads, experts, topk;
	double capacity_factor, dense_forward, dense_backward;
	struct fsmoe_layout layout;
	int max_degree, powers, steady, json;
	const char *out, *grid, *csv; /* of one of them alone */
};

extern const struct cli_planning cli_planning_defaults;
extern const char *const cli_testbeds[]; /* "A", "B" */
extern const char *const cli_experts[];  /* "gpt", "mixtral" */

/* clang-format off */
/* For a table of which AT(field) is in a struct cli_planning. */
#define SIZE(name_, field, ...) INT(name_, field, 0, INT_MAX, __VA_ARGS__)
#define CLI_PLANNING_ROWS \
	HEADING("Machine"), \
	TEXT("profile", profile, "FILE", "What tasks cost (doc/formats.md)"), \
	CHOICE("testbed", testbed, "A|B", cli_testbeds, \
	       "The profile of one of the FSMoE paper's machines instead"), \
	TEXT("machine", machine, "TEXT", \
	     "Nodes and devices, 'node:6 gpu:8' or file:PATH; left out: the profile's"), \
	SIZE("tp", layout.tp, \
	     "Share a sequence's heads and its experts between N ranks; 0: a node's", OLD("mp")), \
	HEADING("Model; 0 takes the preset's"), \
	TEXT("preset", preset, "NAME", \
	     "gpt2-xl, mixtral-8x7b, mixtral-8x22b, or one of 'fsmoe train'"), \
	SIZE("layers", layers, "Layers"), \
	SIZE("batch", batch, "Sequences of a data-parallel rank"), \
	SIZE("seq-length", seq, "Tokens of a sequence", OLD("seq", "seq-len")), \
	SIZE("hidden-size", model_dim, "Width of the model", OLD("model-dim")), \
	SIZE("ffn-size", hidden, "Width of an expert's hidden layer"), \
	ROWS_OF(fsmoe_train_options, profile, "hidden"), \
	SIZE("heads", heads, "Attention heads"), \
	SIZE("kv-heads", kv_heads, "Heads for keys and values"), \
	SIZE("experts", experts, "Experts in all; of the paper's models: one a node"), \
	SIZE("top-k", topk, "Experts that each token goes to", OLD("topk")), \
	REAL("capacity-factor", capacity_factor, -1, 1e6, \
	     "Slots over an even share; 0: nothing is dropped; -1: the preset's"), \
	CHOICE("expert", expert, "NAME", cli_experts, "gpt: two products; mixtral: three"), \
	REAL("dense-forward", dense_forward, 0, 1e9, \
	     "Measured seconds of computation of a layer's dense part; 0: by formula"), \
	REAL("dense-backward", dense_backward, 0, 1e9, "The same backward; 0: twice forward"), \
	HEADING("Schedule"), \
	TEXT("schedule", schedule, "NAME", \
	     "A row of the table, all of them with 'all', or a file with a row of one's own"), \
	INT("max-degree", max_degree, 1, 4096, "Most chunks of a layer"), \
	FLAG("powers", powers, "Only 1, 2, 4, ... chunks"), \
	FLAG("steady", steady, \
	     "Layers in the middle of a long model: nothing before them, nothing after")
/* clang-format on */

/* A problem with what it points to. */
struct cli_problem
{
	struct fsmoe_plan_problem problem;
	struct fsmoe_layer_cost *layer;
	struct fsmoe_schedule row[FSMOE_PUBLISHED_SCHEDULES];
	int rows;
};

/* All these return an exit code, with the sentence in fsmoe_last_error(). */
int cli_planning_profile(const struct cli_planning *o, fsmoe_profile_t *profile);
int cli_planning_problem(const struct cli_planning *o, fsmoe_profile_t profile,
			 struct cli_problem *problem);
/* A schedule by its name, or from a file: what has a '.' or a '/' in it. */
int cli_planning_row(const char *name, struct fsmoe_schedule *row);
int cli_planning_rows(const struct cli_planning *o, struct cli_problem *problem);
/* The exchange's line and the degrees, which do not depend on layers. */
int cli_planning_start(const struct cli_planning *o, fsmoe_profile_t profile,
		       struct fsmoe_plan_problem *problem);
void cli_planning_free(struct cli_problem *problem);

double cli_plan_seconds(const struct fsmoe_plan *plan); /* of a step */

#endif
