/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "cli/planning.h"
#include "config/run_json.h"
#include "report/report.h"
#include "step/step.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Ten lines about a run: what bounds its recorded step, and what its neighbours would take. A
 * neighbour is the run's own step with one thing changed, built again and simulated with the run's
 * profile.
 */
struct options
{
	const char *run;
};

#define AT(field) offsetof(struct options, field)

const struct fsmoe_option cli_explain_options[] = {
	TEXT("run", run, "DIR",
	     "Explain the run in this folder, the one of train --output; --run may be omitted"),
	{.type = FSMOE_OPTION_END},
};

/* --- neighbours --------------------------------------------------------------------------- */

struct study
{
	struct fsmoe_run_description run;
	struct fsmoe_schedule row; /* without a name: none */
	struct fsmoe_plan plan;    /* without layers: none */
	fsmoe_profile_t profile;
	fsmoe_topo_t topo;
	fsmoe_groups_t groups;
	double seconds; /* of the run's own step */
	double best;
	char advice[96];
};

/* What a step takes by the profile. */
static int simulate(struct study *s, const struct fsmoe_model_spec *model,
		    const struct fsmoe_schedule *row, const struct fsmoe_plan *plan,
		    double *seconds)
{
	struct fsmoe_train_opts opts = s->run.train;
	struct fsmoe_step_graph step;
	struct fsmoe_timeline tl;
	int err;

	opts.schedule = row && *row->name ? row : NULL;
	opts.plan = plan && plan->layer ? plan : NULL;
	err = fsmoe_step_create(&step, s->groups, fsmoe_model_as_forward(model), &opts);
	if (err)
		return err;
	err = fsmoe_profile_simulate(s->profile, step.graph, &tl);
	if (!err)
		*seconds = tl.makespan;
	if (!err)
		fsmoe_timeline_destroy(&tl);
	fsmoe_step_destroy(&step);
	return err;
}

/* The same with a plan made for it, where the run had a schedule. */
static int replan(struct study *s, const struct fsmoe_model_spec *model,
		  const struct fsmoe_schedule *row, double *seconds)
{
	struct fsmoe_plan plan = {0};
	int err = *row->name ? fsmoe_train_plan(&plan, s->groups, fsmoe_model_as_forward(model),
						&s->run.train, row, s->profile, s->run.max_degree)
			     : 0;

	if (!err)
		err = simulate(s, model, row, &plan, seconds);
	fsmoe_plan_destroy(&plan);
	return err;
}

/* One that cannot be built is none. */
static void say_neighbour(struct study *s, int *said, int err, double seconds, const char *name,
			  const char *advice)
{
	if (err)
		return;
	printf("%s %s %+.1f %%", (*said)++ ? "," : "", name, 100 * (seconds / s->seconds - 1));
	if (advice && seconds < s->best)
	{
		s->best = seconds;
		snprintf(s->advice, sizeof(s->advice), "%s", advice);
	}
}

static void say_schedules(struct study *s)
{
	int said = 0;

	printf("Other schedules, planned for it:");
	for (int i = 0; i < FSMOE_PUBLISHED_SCHEDULES; i++)
	{
		const struct fsmoe_schedule *row = fsmoe_schedule_at(i);
		double seconds = 0;
		char advice[64];
		int err;

		if (!strcmp(row->name, s->row.name))
			continue;
		snprintf(advice, sizeof(advice), "--schedule=%s", row->name);
		err = replan(s, &s->run.model, row, &seconds);
		say_neighbour(s, &said, err, seconds, row->name, advice);
	}
	puts(said ? "." : " none can be built.");
}

static int scaled(int degree, int times)
{
	return times > 0 ? degree * times : (degree + 1) / -times;
}

/* times: 2, or -2 for half as many. -EINVAL where that changes nothing. */
static int with_degrees(struct study *s, int forward, int backward, double *seconds)
{
	struct fsmoe_model_spec model = s->run.model;
	struct fsmoe_plan plan = s->plan;
	int err, changed;

	model.forward_degree = scaled(model.forward_degree, forward);
	model.backward_degree = scaled(model.backward_degree, backward);
	plan.layer = calloc((size_t)plan.layers + 1, sizeof(*plan.layer));
	if (!plan.layer)
		return fsmoe_fail(ENOMEM, "no memory for a plan");
	changed = !plan.layers && (model.forward_degree != s->run.model.forward_degree ||
				   model.backward_degree != s->run.model.backward_degree);
	for (int i = 0; i < plan.layers; i++)
	{
		plan.layer[i] = s->plan.layer[i];
		plan.layer[i].forward_degree = scaled(plan.layer[i].forward_degree, forward);
		plan.layer[i].backward_degree = scaled(plan.layer[i].backward_degree, backward);
		changed |= plan.layer[i].forward_degree != s->plan.layer[i].forward_degree ||
			   plan.layer[i].backward_degree != s->plan.layer[i].backward_degree;
	}
	err = changed ? simulate(s, &model, &s->row, plan.layers ? &plan : NULL, seconds) : -EINVAL;
	free(plan.layer);
	return err;
}

static void say_degrees(struct study *s)
{
	static const struct
	{
		const char *name, *advice;
		int forward, backward;
	} changes[] = {
		{"twice as many forward", "twice the --forward-degree", 2, 1},
		{"half forward", "half the --forward-degree", -2, 1},
		{"twice as many backward", "twice the --backward-degree", 1, 2},
		{"half backward", "half the --backward-degree", 1, -2},
	};
	int said = 0;

	printf("Other numbers of chunks:");
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
	{
		double seconds = 0;
		const int err = with_degrees(s, changes[i].forward, changes[i].backward, &seconds);

		say_neighbour(s, &said, err, seconds, changes[i].name, changes[i].advice);
	}
	puts(said ? "." : " none can be built.");
}

/* What is dropped changes with it, and so the values: no advice. */
static void say_capacity(struct study *s)
{
	static const double times[] = {0.5, 0.75, 1.25, 1.5};
	const double factor = s->run.model.capacity_factor;
	int said = 0;

	if (factor <= 0)
	{
		puts("Nothing is dropped, so there is no capacity factor to change.");
		return;
	}
	printf("Other capacity factors than %.3g, of which smaller ones drop more:", factor);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
	{
		struct fsmoe_model_spec model = s->run.model;
		double seconds = 0;
		char name[32];
		int err;

		model.capacity_factor = factor * times[i];
		snprintf(name, sizeof(name), "%.3g", model.capacity_factor);
		err = replan(s, &model, &s->row, &seconds);
		say_neighbour(s, &said, err, seconds, name, NULL);
	}
	puts(said ? "." : " none can be built.");
}

static void say_advice(const struct study *s)
{
	if (s->best < 0.99 * s->seconds)
		printf("The best of these that leave the values as they are is %s: %.1f %% less.\n",
		       s->advice, 100 * (1 - s->best / s->seconds));
	else
		puts("None of these that leave the values as they are is better by more than 1 %.");
}

/* --- opening a run ------------------------------------------------------------------------ */

/* The machine as the run had it, without its ranks. */
static int rebuild(struct study *s)
{
	char machine[64];
	int err;

	snprintf(machine, sizeof(machine), "node:%d gpu:%d", s->run.nodes,
		 s->run.ranks / s->run.nodes);
	err = fsmoe_topo_create(&s->topo, machine, 0);
	return err ? err : fsmoe_groups_create(&s->groups, s->topo, &s->run.layout);
}

static int open_study(struct study *s, const char *dir)
{
	char path[PATH_MAX];
	int err = fsmoe_path_join(path, sizeof(path), dir, "run.json");

	if (!err)
		err = fsmoe_run_json_load(&s->run, path);
	if (!err)
		err = rebuild(s);
	if (!err)
		err = fsmoe_path_join(path, sizeof(path), dir, "profile.json");
	if (!err)
		err = fsmoe_profile_load(&s->profile, path);
	if (!err)
		err = fsmoe_path_join(path, sizeof(path), dir, "plan.json");
	if (!err && !access(path, F_OK))
		err = fsmoe_plan_load(&s->plan, path);
	if (!err && s->run.schedule)
		err = cli_planning_row(s->run.schedule, &s->row) ? -EINVAL : 0;
	else if (!err && s->plan.layer)
		err = cli_planning_row(s->plan.schedule, &s->row) ? -EINVAL : 0;
	if (!err)
		err = simulate(s, &s->run.model, &s->row, &s->plan, &s->seconds);
	s->best = s->seconds;
	return err;
}

static void close_study(struct study *s)
{
	fsmoe_plan_destroy(&s->plan);
	fsmoe_profile_destroy(s->profile);
	if (s->groups)
		fsmoe_groups_destroy(s->groups);
	if (s->topo)
		fsmoe_topo_destroy(s->topo);
	fsmoe_run_json_free(&s->run);
}

static int explain(const char *dir, const struct fsmoe_report *report)
{
	struct study study = {0};
	char path[PATH_MAX];
	int err;

	fsmoe_report_write_words(report, stdout);
	if (fsmoe_path_join(path, sizeof(path), dir, "profile.json") || access(path, F_OK))
	{
		puts("What neighbours would take needs a profile: measure one with 'fsmoe profile' "
		     "and train with --profile.");
		return 0;
	}
	err = open_study(&study, dir);
	if (!err)
	{
		say_schedules(&study);
		say_degrees(&study);
		say_capacity(&study);
		say_advice(&study);
		printf("These are predictions by %s; they hold as far as its %.2f ms for the step "
		       "as it is.\n",
		       path, 1e3 * study.seconds);
	}
	close_study(&study);
	return err;
}

int cli_explain(int argc, char **argv)
{
	struct options options = {0};
	struct fsmoe_report report;
	int code, err;

	if (cli_open_report(cli_explain_options, argc, argv, &options, &options.run, &report,
			    &code))
		return code;
	if (json_object_get(report.root, "timeline"))
		err = explain(options.run, &report);
	else
		err = fsmoe_fail(ENOENT,
				 "%s has no timeline.json: train with --timeline=%s/timeline.json",
				 options.run, options.run);
	fsmoe_report_close(&report);
	return err ? cli_fail(FSMOE_EXIT_DATA, err) : FSMOE_EXIT_OK;
}
