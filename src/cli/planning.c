/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/planning.h"
#include "config/config.h"
#include "cost/profile.h"
#include "step/step.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/module.h>
#include <fsmoe/topo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const cli_testbeds[] = {"A", "B", NULL};

const char *cli_degree_text(const struct fsmoe_plan *plan, int backward, const char *between,
			    char text[CLI_DEGREE_TEXT])
{
	int low = 0, high = 0;

	for (int i = 0; i < plan->layers; i++)
	{
		const int degree =
			backward ? plan->layer[i].backward_degree : plan->layer[i].forward_degree;

		low = i == 0 || degree < low ? degree : low;
		high = degree > high ? degree : high;
	}
	if (low == high)
		snprintf(text, CLI_DEGREE_TEXT, "%d", low);
	else
		snprintf(text, CLI_DEGREE_TEXT, "%d%s%d", low, between, high);
	return text;
}

/* --- options ------------------------------------------------------------------------------ */

/* One of the paper's models, not of `fsmoe train`. */
static int is_paper(const char *preset)
{
	int paper = 0;

	for (int i = 0; preset && fsmoe_layer_sizes_name(i); i++)
		paper |= !strcmp(preset, fsmoe_layer_sizes_name(i));
	return paper;
}

static int by_formula(const struct cli_planning *o)
{
	return o->testbed || is_paper(o->train.preset);
}

/* Sets the model of the paper. Its batch of 0 is a sequence for each data-parallel rank, its 0
 * experts are one for each node. */
static void init_paper(struct cli_planning *o, const struct fsmoe_layer_sizes *sizes, int layers)
{
	struct fsmoe_model_spec *model = &o->train.model;

	model->layers = layers;
	model->seq_length = (int)sizes->seq_length;
	model->hidden_size = (int)sizes->hidden_size;
	model->ffn_size = (int)sizes->ffn_size;
	model->heads = sizes->heads;
	model->expert = sizes->gemms == 3 ? "swiglu" : "mlp";
	model->top_k = 2;
	model->capacity_factor = 1.2;
	model->experts = 0;
	o->kv_heads = sizes->kv_heads;
	o->train.train.global_batch = 0;
}

static int init(struct cli_planning *o, const char *preset)
{
	const int paper = is_paper(preset);
	struct fsmoe_layer_sizes sizes = {0};
	int layers, err;

	*o = (struct cli_planning){0};
	err = fsmoe_train_config_init(&o->train, paper ? NULL : preset);
	if (paper || err) /* its failure lists the presets of both kinds */
		err = fsmoe_layer_sizes_init(&sizes, &layers, preset);
	if (!err && paper)
		init_paper(o, &sizes, layers);
	o->train.preset = preset;
	return err;
}

const void *cli_planning_defaults(void)
{
	static struct cli_planning defaults;

	return init(&defaults, NULL) ? NULL : &defaults;
}

static int load(const struct fsmoe_option *table, struct cli_planning *o, int argc, char **argv)
{
	struct fsmoe_json json = {0};
	const char *preset;
	int err = init(o, NULL);

	if (!err)
		err = fsmoe_options_parse(table, argc, argv, o);
	if (!err && o->train.config)
		err = fsmoe_json_load(&json, o->train.config);
	if (err)
		return err;
	preset = o->train.preset;
	if (!preset)
		preset = json_string_value(json_object_get(json.root, "preset"));
	if (!preset && o->testbed)
		preset = "gpt2-xl";
	err = init(o, preset);
	if (!err && json.root)
		err = fsmoe_options_json(fsmoe_train_options, &json, &o->train);
	if (!err)
		err = fsmoe_options_parse(table, argc, argv, o);
	o->train.json = json;
	if (err)
		return err;
	o->train.train.seq_length = o->train.model.seq_length;
	fsmoe_train_config_apply_objective(&o->train);
	return 0;
}

/* --- profile and machine ------------------------------------------------------------------ */

static int load_profile(const struct cli_planning *o, fsmoe_profile_t *profile)
{
	if (!o->train.profile == !o->testbed)
	{
		fsmoe_fail(EINVAL, "give --profile=FILE or --testbed=A|B, and not both: what tasks "
				   "cost must come from somewhere");
		return FSMOE_EXIT_USAGE;
	}
	if (o->train.profile ? fsmoe_profile_load(profile, o->train.profile)
			     : fsmoe_profile_testbed(profile, *o->testbed))
		return FSMOE_EXIT_DATA;
	return FSMOE_EXIT_OK;
}

/* Makes the described machine's process groups; the caller destroys both. */
static int make_groups(const struct cli_planning *o, fsmoe_profile_t profile, fsmoe_topo_t *topo,
		       fsmoe_groups_t *groups)
{
	const char *text = o->machine ? o->machine : fsmoe_profile_machine(profile);
	struct fsmoe_layout layout = o->train.layout;
	int err;

	if (!*text)
		return fsmoe_fail(EINVAL, "the profile does not say of which machine it is: give "
					  "--machine='node:2 gpu:4'");
	if (by_formula(o) && !layout.esp)
		layout.esp = layout.tp;
	err = fsmoe_topo_create(topo, text, o->train.nodes);
	if (!err)
		err = fsmoe_groups_create(groups, *topo, &layout);
	return err;
}

/* --- costs by the paper's formulas -------------------------------------------------------- */

/* Checks the layout; fills in what depends on the ranks. */
static int fit_formula(struct cli_planning *o, fsmoe_groups_t groups, double *batch)
{
	struct fsmoe_train_opts *train = &o->train.train;
	const int dp = fsmoe_group_size(groups, FSMOE_GROUP_DP);

	if (fsmoe_group_spans_nodes(groups, FSMOE_GROUP_TP))
		return fsmoe_fail(EINVAL, "tp = %d ranks do not fit into a node",
				  o->train.layout.tp);
	if (fsmoe_group_size(groups, FSMOE_GROUP_ESP) != fsmoe_group_size(groups, FSMOE_GROUP_TP))
		return fsmoe_fail(EINVAL, "the paper's formulas are of layouts with esp = tp");
	if (!o->train.model.experts)
		o->train.model.experts = fsmoe_group_size(groups, FSMOE_GROUP_EP);
	if (!train->global_batch)
		train->global_batch = dp * train->micro_batches;
	*batch = fmax(1, (double)train->global_batch / train->micro_batches / dp);
	if (o->batch)
		*batch = o->batch;
	return 0;
}

static int cost_by_formula(const struct cli_planning *o, fsmoe_profile_t profile,
			   fsmoe_groups_t groups, double batch, struct fsmoe_layer_cost *cost)
{
	const struct fsmoe_model_spec *model = &o->train.model;
	const int swiglu = !strcmp(fsmoe_expert_find(model->expert)->module.name, "swiglu");
	const struct fsmoe_layer_sizes sizes = {
		.batch = batch,
		.seq_length = model->seq_length,
		.hidden_size = model->hidden_size,
		.ffn_size = model->ffn_size,
		.heads = model->heads,
		.kv_heads = o->kv_heads,
		.experts = model->experts,
		.load = model->top_k * (model->capacity_factor > 0 ? model->capacity_factor : 1),
		.gemms = swiglu ? 3 : 2,
		.biases = !swiglu,
		.tp = fsmoe_group_size(groups, FSMOE_GROUP_TP),
		.ep = fsmoe_group_size(groups, FSMOE_GROUP_EP),
		.dense_forward = o->dense_forward,
		.dense_backward = o->dense_backward};

	return fsmoe_layer_cost_init(cost, profile, &sizes);
}

/* Every layer costs the same. */
static int find_formula(struct cli_planning *o, fsmoe_profile_t profile, fsmoe_groups_t groups,
			struct fsmoe_plan_problem *p)
{
	const int layers = o->train.model.layers;
	struct fsmoe_layer_cost *layer;
	double batch = 0;
	int code, err;

	if (fit_formula(o, groups, &batch))
		return FSMOE_EXIT_LAYOUT;
	if (fsmoe_train_config_check_model(&o->train))
		return FSMOE_EXIT_USAGE;
	code = cli_planning_start(o, profile, p);
	if (code)
		return code;
	layer = calloc((size_t)layers, sizeof(*layer));
	if (!layer)
		return cli_exit(fsmoe_fail(ENOMEM, "no memory for %d layers", layers),
				FSMOE_EXIT_RUN);
	p->layers = layers;
	p->layer = layer;
	err = cost_by_formula(o, profile, groups, batch, layer);
	for (int i = 1; i < layers; i++)
		layer[i] = layer[0];
	return cli_exit(err, FSMOE_EXIT_USAGE);
}

/* --- costs of the step that `fsmoe train` runs --------------------------------------------- */

static int find_dispatch(struct cli_planning *o, fsmoe_profile_t profile, fsmoe_groups_t groups,
			 const struct cli_problem *problem)
{
	struct fsmoe_dispatch_times times;

	if (strcmp(o->train.model.dispatch, FSMOE_DISPATCH_AUTO))
		return 0;
	if (problem->rows > 1)
		return fsmoe_fail(EINVAL, "--dispatch=auto depends on the schedule: name one");
	return fsmoe_train_choose_dispatch(&o->train.model, &times, groups, &o->train.train,
					   &problem->row[0], profile, o->train.max_degree);
}

static int find_step(struct cli_planning *o, fsmoe_profile_t profile, fsmoe_groups_t groups,
		     struct cli_problem *problem)
{
	struct fsmoe_train_opts *train = &o->train.train;
	int err;

	if (o->batch)
		train->global_batch =
			o->batch * train->micro_batches * fsmoe_group_size(groups, FSMOE_GROUP_DP);
	if (fsmoe_train_config_check_model(&o->train) ||
	    fsmoe_train_config_check_chunks(&o->train, "--max-degree", o->train.max_degree))
		return FSMOE_EXIT_USAGE;
	if (fsmoe_train_config_fits(&o->train, groups))
		return FSMOE_EXIT_LAYOUT;
	err = find_dispatch(o, profile, groups, problem);
	problem->problem.max_degree = o->train.max_degree;
	problem->problem.powers = o->powers;
	if (!err)
		err = fsmoe_step_problem(&problem->problem, groups,
					 fsmoe_model_as_forward(&o->train.model), train, profile);
	return cli_exit(err, FSMOE_EXIT_USAGE);
}

static int find_problem(struct cli_planning *o, fsmoe_profile_t profile,
			struct cli_problem *problem)
{
	const int formula = by_formula(o), heads = o->train.model.heads;
	fsmoe_groups_t groups = NULL;
	fsmoe_topo_t topo = NULL;
	int code = FSMOE_EXIT_LAYOUT;

	if (!formula && (o->kv_heads || o->steady || o->dense_forward > 0 || o->dense_backward > 0))
	{
		fsmoe_fail(EINVAL, "--kv-heads, --steady, --dense-forward and --dense-backward are "
				   "of the paper's formulas: give --testbed or one of its presets");
		return FSMOE_EXIT_USAGE;
	}
	if (o->kv_heads && heads % o->kv_heads)
	{
		fsmoe_fail(EINVAL,
			   "%d heads do not share %d heads for keys and values: give a "
			   "--kv-heads that divides them",
			   heads, o->kv_heads);
		return FSMOE_EXIT_USAGE;
	}
	if (!make_groups(o, profile, &topo, &groups))
		code = formula ? find_formula(o, profile, groups, &problem->problem)
			       : find_step(o, profile, groups, problem);
	if (groups)
		fsmoe_groups_destroy(groups);
	fsmoe_topo_destroy(topo);
	return code;
}

int cli_planning_start(const struct cli_planning *o, fsmoe_profile_t profile,
		       struct fsmoe_plan_problem *p)
{
	struct fsmoe_fit fit;

	if (fsmoe_profile_get(profile, FSMOE_KIND_ALLREDUCE, FSMOE_INTER, &fit))
		return FSMOE_EXIT_DATA;
	*p = (struct fsmoe_plan_problem){.allreduce_alpha = fit.alpha,
					 .allreduce_beta = fit.beta,
					 .max_degree = o->train.max_degree,
					 .powers = o->powers,
					 .steady = o->steady};
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

static int find_rows(const struct cli_planning *o, const char *otherwise,
		     struct cli_problem *problem)
{
	const char *name = o->train.schedule ? o->train.schedule : otherwise;

	if (strcmp(name, "all"))
	{
		problem->rows = 1;
		return cli_planning_row(name, &problem->row[0]);
	}
	for (int i = 0; i < FSMOE_PUBLISHED_SCHEDULES; i++)
		problem->row[problem->rows++] = *fsmoe_schedule_at(i);
	return FSMOE_EXIT_OK;
}

int cli_planning_run(const struct fsmoe_option *table, const char *schedule,
		     int (*check)(const struct cli_planning *o), cli_planning_fn run, int argc,
		     char **argv)
{
	struct cli_planning o;
	struct cli_problem problem = {0};
	fsmoe_profile_t profile = NULL;
	int err = load(table, &o, argc, argv), code = FSMOE_EXIT_USAGE;

	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help(argv[0]);
	if (!err && !check(&o))
		code = find_rows(&o, schedule, &problem);
	if (!code)
		code = load_profile(&o, &profile);
	if (!code && !o.grid)
		code = find_problem(&o, profile, &problem);
	if (!code)
		code = run(&o, &problem, profile);
	fsmoe_profile_destroy(profile);
	free((void *)problem.problem.layer);
	fsmoe_train_config_free(&o.train);
	return code ? cli_fail(code, 0) : FSMOE_EXIT_OK;
}
