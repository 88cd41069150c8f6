/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/train.h"

#include "base/file.h"
#include "cli/cli.h"
#include "cli/profile.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --profile, --record-events, --timeline: what steps take, beside what the profile says. */

/* Rank 0 writes the profile in use to --output, for its report; never over the file that was
 * given. */
static int save_profile(const struct run *run)
{
	char path[PATH_MAX];
	int err;

	if (!run->first || !run->config.output)
		return 0;
	err = fsmoe_path_join(path, sizeof(path), run->config.output, "profile.json");
	if (err || !strcmp(path, run->config.profile))
		return err;
	return fsmoe_profile_save(fsmoe_replanner_profile(run->replanner), path);
}

static int start_replanner(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	struct fsmoe_replan_opts opts;
	int err;

	fsmoe_replan_opts_init(&opts);
	opts.max_degree = config->max_degree;
	opts.schedule = *run->row.name ? &run->row : NULL;
	err = fsmoe_replanner_create(&run->replanner, run->trainer, &run->plan, run->profile,
				     &opts);
	if (err == -ENODATA)
		err = fsmoe_fail(ENODATA, "%s: %s", config->profile, fsmoe_last_error());
	if (!err && run->first)
		cli_profile_compare(run->profile, config->profile, &config->runtime);
	return err ? err : save_profile(run);
}

int run_observe_start(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	int err = 0;

	if (run->profile || config->record_events || config->timeline)
		err = fsmoe_runtime_record(run->runtime, 1, config->record_events);
	if (!err && run->profile)
		err = start_replanner(run);
	return cli_exit(err, FSMOE_EXIT_RUN);
}

static void say_replanned(struct run *run, const struct fsmoe_replan_result *result)
{
	const double promised = 1e3 * result->promised;
	char was[RUN_PLAN_TEXT], is[RUN_PLAN_TEXT];
	double before;

	if (result->state == FSMOE_REPLAN_DRIFTED)
	{
		run_say(run, "step %d: %s: measure again with 'fsmoe profile'", run->step,
			result->sentence);
		return;
	}
	before = 1e3 * fsmoe_train_plan_seconds(result->before, run->config.train.micro_batches);
	if (result->state == FSMOE_REPLAN_KEPT)
		run_say(run,
			"step %d: %s; planned anew, the plan stays: layers predicted to take %.3g "
			"ms, by the old profile %.3g ms",
			run->step, result->sentence, before, promised);
	else
		run_say(run,
			"step %d: %s; planned anew: %s; before: %s, %.3g ms (%.3g ms by the old "
			"profile)",
			run->step, result->sentence, run_plan_text(run, &run->plan, is),
			run_plan_chunks(result->before, was), before, promised);
}

/* A plan given by --plan is never replaced, and the last step needs no other. */
static int step_replanner(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const int may_replan = config->replan && !config->plan && run->step < config->steps;
	struct fsmoe_replan_result result;
	int err = fsmoe_replanner_step(run->replanner, may_replan, &result);

	if (err || result.state == FSMOE_REPLAN_NONE)
		return err;
	if (result.state == FSMOE_REPLAN_ADOPTED)
	{
		fsmoe_flops_count(fsmoe_trainer_graph(run->trainer), &run->flops);
		err = run_plan_save(run);
	}
	say_replanned(run, &result);
	return err || result.state == FSMOE_REPLAN_DRIFTED ? err : save_profile(run);
}

/* Rank 0 writes the timelines of all ranks. */
static int write_timelines(struct run *run, const char *path, const struct fsmoe_timeline *measured,
			   int ranks)
{
	fsmoe_graph_t graph = fsmoe_trainer_graph(run->trainer);
	struct fsmoe_track *track = calloc((size_t)ranks + 1, sizeof(*track));
	struct fsmoe_timeline predicted = {0};
	char(*name)[32] = calloc((size_t)ranks + 1, sizeof(*name));
	FILE *file = fopen(path, "we");
	int n = 0, err = 0;

	if (!file)
		err = fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	else if (!track || !name)
		err = fsmoe_fail(ENOMEM, "no memory to write %s", path);
	for (; n < ranks && !err; n++)
	{
		snprintf(name[n], sizeof(*name), "rank %d", n);
		track[n] = (struct fsmoe_track){name[n], &measured[n]};
	}
	if (!err && run->replanner)
	{
		err = fsmoe_profile_simulate(fsmoe_replanner_profile(run->replanner), graph,
					     &predicted);
		track[n++] = (struct fsmoe_track){"predicted", &predicted};
	}
	if (!err)
		err = fsmoe_timeline_write_perfetto(file, graph, track, n);
	if (file && fclose(file) && !err)
		err = fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	if (!err && run->replanner)
		run_say(run, "step %d: %.2f ms, predicted %.2f ms; see %s", run->step,
			1e3 * measured[0].makespan, 1e3 * predicted.makespan, path);
	else if (!err)
		run_say(run, "step %d: %.2f ms; see %s", run->step, 1e3 * measured[0].makespan,
			path);
	fsmoe_timeline_destroy(&predicted);
	free(track);
	free(name);
	return err;
}

/* Writes the last step of all ranks; collective. */
static int write_step(struct run *run, const char *path)
{
	struct fsmoe_timeline *measured;
	int ranks, err = fsmoe_program_observe_all(fsmoe_trainer_program(run->trainer), &measured,
						   &ranks);

	if (err)
		return err;
	if (run->first)
		err = write_timelines(run, path, measured, ranks);
	for (int r = 0; r < ranks; r++)
		fsmoe_timeline_destroy(&measured[r]);
	free(measured);
	return err;
}

/* Writes a step before the last one, with its number before the ending of the file's name. */
static int write_earlier_step(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	const char *file = config->timeline, *slash = strrchr(file, '/'), *dot = strrchr(file, '.');
	char path[PATH_MAX];

	if (run->step >= config->steps || config->steps - run->step >= config->timeline_steps)
		return 0;
	if (!dot || dot == file || (slash && dot <= slash + 1))
		dot = file + strlen(file);
	if (snprintf(path, sizeof(path), "%.*s-%d%s", (int)(dot - file), file, run->step, dot) >=
	    PATH_MAX)
		return fsmoe_fail(ENAMETOOLONG, "the path %s is too long", file);
	return write_step(run, path);
}

int run_observe_step(struct run *run)
{
	int err = run->config.timeline ? write_earlier_step(run) : 0;

	return err || !run->replanner ? err : step_replanner(run);
}

int run_observe_end(struct run *run)
{
	return run->config.timeline && run->tokens_done ? write_step(run, run->config.timeline) : 0;
}
