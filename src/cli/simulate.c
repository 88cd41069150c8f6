/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/planning.h"
#include "plan/grid.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const grids[] = {"paper", NULL};

#define AT(field) offsetof(struct cli_planning, field)

const struct fsmoe_option cli_simulate_options[] = {
	FLAG("json", json, "Write a JSON object"),
	CHOICE("grid", grid, "NAME", grids,
	       "paper: its 1458 configured layers on --testbed, instead of one model"),
	TEXT("csv", csv, "FILE", "Write a line for every point of the grid and schedule"),
	CLI_PLANNING_ROWS,
	{.type = FSMOE_OPTION_END},
};

/* What others are measured against. */
static const char *const baselines[] = {"tutel", "ds-moe"};
enum
{
	NBASELINES = sizeof(baselines) / sizeof(baselines[0])
};

static int simulate_baselines(const struct fsmoe_plan_problem *p, double *seconds)
{
	for (int b = 0; b < NBASELINES; b++)
	{
		struct fsmoe_plan plan;
		int err = fsmoe_plan_create(&plan, p, fsmoe_schedule_find(baselines[b]));

		if (err)
			return err;
		seconds[b] = fsmoe_train_plan_seconds(&plan, 1);
		fsmoe_plan_destroy(&plan);
	}
	return 0;
}

/* --- one model ---------------------------------------------------------------------------- */

static void print_row(const struct fsmoe_plan *plan, const double *base)
{
	const double step = fsmoe_train_plan_seconds(plan, 1);
	char forward[CLI_DEGREE_TEXT], backward[CLI_DEGREE_TEXT];

	printf("  %-16s %7s %8s %11.3f %11.3f %11.3f %11.3f %8.3f %8.3f\n", plan->schedule,
	       cli_degree_text(plan, 0, " - ", forward), cli_degree_text(plan, 1, " - ", backward),
	       1e3 * plan->forward, 1e3 * plan->backward, 1e3 * plan->tail_seconds, 1e3 * step,
	       base[0] / step, base[1] / step);
}

static json_t *row_object(const struct fsmoe_plan *plan, const double *base)
{
	const double step = fsmoe_train_plan_seconds(plan, 1);

	return json_pack("{s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "forward_degree",
			 plan->layer[0].forward_degree, "backward_degree",
			 plan->layer[0].backward_degree, "forward_seconds", plan->forward,
			 "backward_seconds", plan->backward, "tail_seconds", plan->tail_seconds,
			 "seconds", step, "over_tutel", base[0] / step, "over_ds_moe",
			 base[1] / step);
}

static int simulate_model(const struct cli_planning *o, const struct cli_problem *p)
{
	json_t *rows = json_object(), *all;
	double base[NBASELINES];
	int err = simulate_baselines(&p->problem, base);

	if (!err && !o->json)
		printf("%d layer%s; ms\n  schedule          chunks           forward    backward "
		       "     at end        step   over     over\n"
		       "                   forward backward                                       "
		       "           tutel   ds-moe\n",
		       p->problem.layers, p->problem.layers > 1 ? "s" : "");
	for (int i = 0; i < p->rows && !err; i++)
	{
		struct fsmoe_plan plan;

		err = fsmoe_plan_create(&plan, &p->problem, &p->row[i]);
		if (err)
			break;
		if (o->json)
			json_object_set_new(rows, plan.schedule, row_object(&plan, base));
		else
			print_row(&plan, base);
		fsmoe_plan_destroy(&plan);
	}
	all = json_pack("{s:i, s:o}", "layers", p->problem.layers, "schedules", rows);
	if (o->json && !err)
	{
		json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
		putchar('\n');
	}
	json_decref(all);
	return err ? FSMOE_EXIT_USAGE : FSMOE_EXIT_OK;
}

/* --- the grid ----------------------------------------------------------------------------- */

struct speedup
{
	double sum, low, high;
};

struct grid
{
	const struct cli_planning *o;
	const struct cli_problem *p;
	fsmoe_profile_t profile;
	enum fsmoe_testbed testbed;
	FILE *csv;
	struct speedup over[16][NBASELINES];
};

static void add(struct speedup *s, double x, int first)
{
	s->sum += x;
	s->low = first ? x : fmin(s->low, x);
	s->high = first ? x : fmax(s->high, x);
}

static void write_line(const struct grid *g, int i, const struct fsmoe_grid_point *x,
		       const struct fsmoe_plan *plan)
{
	const struct fsmoe_plan_layer *l = &plan->layer[0];

	fprintf(g->csv, "%c,%d,%d,%d,%d,%d,%d,%g,%s,%s,%d,%d,%.9g,%.9g,%.9g,%.9g,%.0f,%.0f\n",
		'A' + (int)g->testbed, i, x->batch, x->heads, x->seq, x->model_dim, x->scale,
		x->factor, x->mixtral ? "mixtral" : "simple", plan->schedule, l->forward_degree,
		l->backward_degree, plan->forward, plan->backward, plan->tail_seconds,
		fsmoe_train_plan_seconds(plan, 1), (double)l->moe.bytes, (double)l->dense.bytes);
}

static int simulate_point(struct grid *g, struct fsmoe_plan_problem *p, int i)
{
	const struct fsmoe_grid_point x = fsmoe_grid_point(g->testbed, i);
	const struct fsmoe_layer_sizes sizes = fsmoe_grid_sizes(g->testbed, &x);
	struct fsmoe_layer_cost cost;
	double base[NBASELINES];
	int err = fsmoe_layer_cost_init(&cost, g->profile, &sizes);

	p->layer = &cost;
	if (!err)
		err = simulate_baselines(p, base);
	for (int k = 0; k < g->p->rows && !err; k++)
	{
		struct fsmoe_plan plan;

		err = fsmoe_plan_create(&plan, p, &g->p->row[k]);
		if (err)
			break;
		for (int b = 0; b < NBASELINES; b++)
			add(&g->over[k][b], base[b] / fsmoe_train_plan_seconds(&plan, 1), i == 0);
		if (g->csv)
			write_line(g, i, &x, &plan);
		fsmoe_plan_destroy(&plan);
	}
	return err;
}

static void print_grid(const struct grid *g)
{
	printf("testbed %c, %d layers: speed-up, mean (least, most)\n"
	       "  schedule          over tutel            over ds-moe\n",
	       'A' + (int)g->testbed, FSMOE_GRID_POINTS);
	for (int k = 0; k < g->p->rows; k++)
	{
		printf("  %-16s", g->p->row[k].name);
		for (int b = 0; b < NBASELINES; b++)
			printf("  %.3f (%.3f, %.3f)", g->over[k][b].sum / FSMOE_GRID_POINTS,
			       g->over[k][b].low, g->over[k][b].high);
		putchar('\n');
	}
}

static void print_grid_json(const struct grid *g)
{
	json_t *mean[NBASELINES], *all;

	for (int b = 0; b < NBASELINES; b++)
	{
		mean[b] = json_object();
		for (int k = 0; k < g->p->rows; k++)
			json_object_set_new(mean[b], g->p->row[k].name,
					    json_real(g->over[k][b].sum / FSMOE_GRID_POINTS));
	}
	all = json_pack("{s:s, s:i, s:o, s:o}", "testbed", g->testbed ? "B" : "A", "points",
			FSMOE_GRID_POINTS, "mean_over_tutel", mean[0], "mean_over_ds_moe", mean[1]);
	json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(all);
}

/* Of its steady state: each layer's windows carry one layer's gradients. */
static int simulate_grid(const struct cli_planning *o, const struct cli_problem *p,
			 fsmoe_profile_t profile)
{
	struct grid g = {.o = o, .p = p, .profile = profile};
	struct fsmoe_plan_problem problem;
	int code = cli_planning_start(o, profile, &problem), err = 0;

	if (code)
		return code;
	g.testbed = o->testbed && *o->testbed == 'B' ? FSMOE_TESTBED_B : FSMOE_TESTBED_A;
	problem.steady = problem.layers = 1;
	if (o->csv && !(g.csv = fopen(o->csv, "we")))
	{
		fsmoe_fail(errno, "cannot write %s: %s", o->csv, strerror(errno));
		return FSMOE_EXIT_RUN;
	}
	if (g.csv)
		fputs("testbed,point,batch,heads,seq,model_dim,hidden_scale,factor,ffn,schedule,"
		      "forward_degree,backward_degree,forward_s,backward_s,tail_s,step_s,"
		      "moe_bytes,dense_bytes\n",
		      g.csv);
	for (int i = 0; i < FSMOE_GRID_POINTS && !err; i++)
		err = simulate_point(&g, &problem, i);
	if (g.csv && fclose(g.csv) && !err)
		err = fsmoe_fail(EIO, "cannot write %s", o->csv);
	if (err)
		return cli_exit(err, FSMOE_EXIT_RUN);
	if (o->json)
		print_grid_json(&g);
	else
		print_grid(&g);
	return FSMOE_EXIT_OK;
}

/* A grid brings its own sizes and machines. */
static int check(const struct cli_planning *o)
{
	if (o->grid && !o->testbed)
		return fsmoe_fail(EINVAL, "--grid needs --testbed=A or --testbed=B");
	if (o->csv && !o->grid)
		return fsmoe_fail(EINVAL, "--csv is of a grid: give --grid=paper");
	return 0;
}

static int simulate(const struct cli_planning *o, const struct cli_problem *p,
		    fsmoe_profile_t profile)
{
	return o->grid ? simulate_grid(o, p, profile) : simulate_model(o, p);
}

int cli_simulate(int argc, char **argv)
{
	return cli_planning_run(cli_simulate_options, "all", check, simulate, argc, argv);
}
