/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/planning.h"
#include "config/config.h"
#include "cost/profile.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/topo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const cli_testbeds[] = {"A", "B", NULL};
const char *const cli_experts[] = {"gpt", "mixtral", NULL};

const struct cli_planning cli_planning_defaults = {
	.preset = "gpt2-xl", .schedule = "fsmoe", .capacity_factor = -1, .max_degree = 8};

double cli_plan_seconds(const struct fsmoe_plan *plan)
{
	return plan->forward + plan->backward + plan->tail_seconds;
}

/* --- profile and machine ------------------------------------------------------------------ */

int cli_planning_profile(const struct cli_planning *o, fsmoe_profile_t *profile)
{
	if (!o->profile == !o->testbed)
	{
		fsmoe_fail(EINVAL, "give --profile=FILE or --testbed=A|B, and not both: what tasks "
				   "cost must come from somewhere");
		return FSMOE_EXIT_USAGE;
	}
	if (o->profile ? fsmoe_profile_load(profile, o->profile)
		       : fsmoe_profile_testbed(profile, *o->testbed))
		return FSMOE_EXIT_DATA;
	return FSMOE_EXIT_OK;
}

/* Nodes and devices of a node; *dp: ranks with data of their own. */
static int find_machine(const struct cli_planning *o, fsmoe_profile_t profile,
			struct fsmoe_layer_sizes *sizes, int *dp)
{
	const char *text = o->machine ? o->machine : fsmoe_profile_machine(profile);
	fsmoe_groups_t groups = NULL;
	fsmoe_topo_t topo = NULL;
	struct fsmoe_layout layout = {.tp = o->layout.tp, .esp = o->layout.tp};
	int err;

	if (!*text)
		return fsmoe_fail(EINVAL, "the profile does not say of which machine it is: give "
					  "--machine='node:2 gpu:4'");
	err = fsmoe_topo_create(&topo, text, 0);
	if (!err)
		err = fsmoe_groups_create(&groups, topo, &layout);
	if (!err && fsmoe_group_spans_nodes(groups, FSMOE_GROUP_TP))
		err = fsmoe_fail(EINVAL, "tp = %d ranks do not fit into a node", o->layout.tp);
	if (!err)
	{
		sizes->tp = fsmoe_group_size(groups, FSMOE_GROUP_TP);
		sizes->ep = fsmoe_group_size(groups, FSMOE_GROUP_EP);
		*dp = fsmoe_group_size(groups, FSMOE_GROUP_DP);
	}
	if (groups)
		fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return err;
}

/* --- sizes -------------------------------------------------------------------------------- */

/* One of the paper's models, not of `fsmoe train`. */
static int is_paper(const char *preset)
{
	int paper = 0;

	for (int i = 0; fsmoe_layer_sizes_name(i); i++)
		paper |= !strcmp(preset, fsmoe_layer_sizes_name(i));
	return paper;
}

/* Slots of an expert for every token, by top-k and capacity factor; those of the preset are in its
 * load, multiplied. */
static int find_load(const struct cli_planning *o, double *load)
{
	struct fsmoe_model_spec spec = {.top_k = 2, .capacity_factor = 1.2};
	int err = is_paper(o->preset) ? 0 : fsmoe_model_spec_init(&spec, o->preset);

	if (o->topk)
		spec.top_k = o->topk;
	if (o->capacity_factor >= 0)
		spec.capacity_factor = o->capacity_factor;
	*load = spec.top_k * (spec.capacity_factor > 0 ? spec.capacity_factor : 1);
	return err;
}

/* The preset's sizes, changed by what the command line says. */
static int find_sizes(const struct cli_planning *o, struct fsmoe_layer_sizes *s, int *layers)
{
	int err = fsmoe_layer_sizes_init(s, layers, o->preset);

	if (err)
		return err;
	if (o->layers)
		*layers = o->layers;
	s->batch = o->batch ? o->batch : s->batch;
	s->seq_length = o->seq ? o->seq : s->seq_length;
	s->hidden_size = o->model_dim ? o->model_dim : s->hidden_size;
	s->ffn_size = o->hidden ? o->hidden : s->ffn_size;
	s->heads = o->heads ? o->heads : s->heads;
	s->kv_heads = o->kv_heads ? o->kv_heads : s->kv_heads;
	if (s->kv_heads > 0 && s->heads % s->kv_heads != 0)
		return fsmoe_fail(EINVAL,
				  "%d heads do not share %d heads for keys and values: give a "
				  "--kv-heads that divides them",
				  s->heads, s->kv_heads);
	s->dense_forward = o->dense_forward;
	s->dense_backward = o->dense_backward;
	if (o->expert)
	{
		s->gemms = strcmp(o->expert, "gpt") ? 3 : 2;
		s->biases = !strcmp(o->expert, "gpt");
	}
	return find_load(o, &s->load);
}

/* What depends on the ranks. The paper's models are measured with an expert a node; presets of
 * `fsmoe train` have the batch that they are trained with. */
static int find_shares(const struct cli_planning *o, int dp, struct fsmoe_layer_sizes *s)
{
	struct fsmoe_train_config config;
	int err = 0;

	if (is_paper(o->preset))
		s->experts = s->ep;
	else if (!(err = fsmoe_train_config_init(&config, o->preset)) && !o->batch)
		s->batch = fmax(1, (double)config.train.global_batch / config.train.micro_batches /
					   dp);
	s->experts = o->experts ? o->experts : s->experts;
	if (!err && o->topk > s->experts)
		err = fsmoe_fail(EINVAL,
				 "a token cannot go to %d of %d experts: give another --top-k",
				 o->topk, s->experts);
	return err;
}

int cli_planning_start(const struct cli_planning *o, fsmoe_profile_t profile,
		       struct fsmoe_plan_problem *p)
{
	struct fsmoe_fit fit;
	int err = fsmoe_profile_get(profile, FSMOE_KIND_ALLREDUCE, FSMOE_INTER, &fit);

	if (err)
		return FSMOE_EXIT_DATA;
	*p = (struct fsmoe_plan_problem){.allreduce_alpha = fit.alpha,
					 .allreduce_beta = fit.beta,
					 .max_degree = o->max_degree,
					 .powers = o->powers,
					 .steady = o->steady};
	return FSMOE_EXIT_OK;
}

int cli_planning_problem(const struct cli_planning *o, fsmoe_profile_t profile,
			 struct cli_problem *problem)
{
	struct fsmoe_layer_sizes sizes;
	struct fsmoe_layer_cost cost;
	int layers, dp = 1, code, err;

	if (find_sizes(o, &sizes, &layers))
		return FSMOE_EXIT_USAGE;
	if (find_machine(o, profile, &sizes, &dp))
		return FSMOE_EXIT_LAYOUT;
	if (find_shares(o, dp, &sizes))
		return FSMOE_EXIT_USAGE;
	err = fsmoe_layer_cost_init(&cost, profile, &sizes);
	if (err)
		return err == -ENODATA ? FSMOE_EXIT_DATA : FSMOE_EXIT_USAGE;
	code = cli_planning_start(o, profile, &problem->problem);
	if (code)
		return code;
	problem->layer = calloc((size_t)layers, sizeof(*problem->layer));
	if (!problem->layer)
	{
		fsmoe_fail(ENOMEM, "no memory for %d layers", layers);
		return FSMOE_EXIT_RUN;
	}
	for (int i = 0; i < layers; i++)
		problem->layer[i] = cost;
	problem->problem.layers = layers;
	problem->problem.layer = problem->layer;
	return FSMOE_EXIT_OK;
}

/* --- schedules ---------------------------------------------------------------------------- */

int cli_planning_row(const char *name, struct fsmoe_schedule *row)
{
	const struct fsmoe_schedule *found;

	/* A file has a '/' or a '.' in its name, a row never. */
	if (strpbrk(name, "/."))
		return fsmoe_schedule_load(row, name) ? FSMOE_EXIT_DATA : FSMOE_EXIT_OK;
	found = fsmoe_schedule_find(name);
	if (!found)
		return FSMOE_EXIT_USAGE;
	*row = *found;
	return FSMOE_EXIT_OK;
}

int cli_planning_rows(const struct cli_planning *o, struct cli_problem *problem)
{
	if (strcmp(o->schedule, "all"))
	{
		problem->rows = 1;
		return cli_planning_row(o->schedule, &problem->row[0]);
	}
	for (int i = 0; i < FSMOE_PUBLISHED_SCHEDULES; i++)
		problem->row[problem->rows++] = *fsmoe_schedule_at(i);
	return FSMOE_EXIT_OK;
}

void cli_planning_free(struct cli_problem *problem)
{
	free(problem->layer);
	*problem = (struct cli_problem){0};
}
