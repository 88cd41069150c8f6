/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_PLANNING_H
#define FSMOE_CLI_PLANNING_H

#include "cli/cli.h"

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
#define CLI_AT(field) offsetof(struct cli_planning, field)
#define CLI_SIZE(name_, field, doc) \
	{.type = FSMOE_OPTION_INT, .name = (name_), .offset = CLI_AT(field), .metavar = "N", \
	 .help = (doc), .max = INT_MAX}
#define CLI_TEXT(name_, field, metavar_, doc) \
	{.type = FSMOE_OPTION_STRING, .name = (name_), .offset = CLI_AT(field), \
	 .metavar = (metavar_), .help = (doc)}
#define CLI_FLAG(name_, field, doc) \
	{.type = FSMOE_OPTION_FLAG, .name = (name_), .offset = CLI_AT(field), .help = (doc)}
#define CLI_SECONDS(name_, field, doc) \
	{.type = FSMOE_OPTION_REAL, .name = (name_), .offset = CLI_AT(field), \
	 .metavar = "SECONDS", .help = (doc), .max = 1e9}

#define CLI_PLANNING_ROWS \
	{.type = FSMOE_OPTION_HEADING, .help = "Machine"}, \
	CLI_TEXT("profile", profile, "FILE", "What tasks cost (doc/formats.md)"), \
	{.type = FSMOE_OPTION_STRING, .name = "testbed", .offset = CLI_AT(testbed), \
	 .metavar = "A|B", .help = "The profile of one of the FSMoE paper's machines instead", \
	 .choices = cli_testbeds}, \
	CLI_TEXT("machine", machine, "TEXT", \
		 "Nodes and devices, 'node:6 gpu:8' or file:PATH; left out: the profile's"), \
	CLI_SIZE("mp", layout.mp, "Ranks that share a sequence's heads and its experts; 0: a node's"), \
	{.type = FSMOE_OPTION_HEADING, .help = "Model; 0 takes the preset's"}, \
	CLI_TEXT("preset", preset, "NAME", \
		 "gpt2-xl, mixtral-8x7b, mixtral-8x22b, or one of 'fsmoe train'"), \
	CLI_SIZE("layers", layers, "Layers"), \
	CLI_SIZE("batch", batch, "Sequences of a data-parallel rank"), \
	CLI_SIZE("seq", seq, "Tokens of a sequence"), \
	CLI_SIZE("model-dim", model_dim, "Model dimension"), \
	CLI_SIZE("hidden", hidden, "Hidden dimension of an expert"), \
	CLI_SIZE("heads", heads, "Attention heads"), \
	CLI_SIZE("kv-heads", kv_heads, "Heads for keys and values"), \
	CLI_SIZE("experts", experts, "Experts in all; of the paper's models: one a node"), \
	CLI_SIZE("topk", topk, "Experts a token goes to"), \
	{.type = FSMOE_OPTION_REAL, .name = "capacity-factor", .offset = CLI_AT(capacity_factor), \
	 .metavar = "X", .help = "Slots over an even share; 0: nothing is dropped; -1: the preset's", \
	 .min = -1, .max = 1e6}, \
	{.type = FSMOE_OPTION_STRING, .name = "expert", .offset = CLI_AT(expert), .metavar = "NAME", \
	 .help = "gpt: two products; mixtral: three", .choices = cli_experts}, \
	CLI_SECONDS("dense-forward", dense_forward, \
		    "Measured compute of a layer's dense part; 0: by formula"), \
	CLI_SECONDS("dense-backward", dense_backward, "The same backward; 0: twice forward"), \
	{.type = FSMOE_OPTION_HEADING, .help = "Schedule"}, \
	CLI_TEXT("schedule", schedule, "NAME", \
		 "A row of the table, all of them with 'all', or a file with a row of one's own"), \
	{.type = FSMOE_OPTION_INT, .name = "max-degree", .offset = CLI_AT(max_degree), \
	 .metavar = "N", .help = "Most chunks of a layer", .min = 1, .max = 4096}, \
	CLI_FLAG("powers", powers, "Only 1, 2, 4, ... chunks"), \
	CLI_FLAG("steady", steady, \
		 "Layers in the middle of a long model: nothing before them, nothing after")
/* clang-format on */

/* A problem with what it points to. */
struct cli_problem
{
	struct fsmoe_plan_problem problem;
	struct fsmoe_layer_cost *layer;
	struct fsmoe_schedule row[16];
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
