/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/train.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/profile.h"
#include "runtime/introspect.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <fsmoe/measure.h>
#include <stdlib.h>
#include <string.h>

/* --profile, --events, --timeline: what steps take beside what the profile says. */
enum
{
	MEET_EVERY = 10,  /* steps between two looks at the profile, in which all ranks meet */
	MEET_RARELY = 640 /* the most, where it drifts again and again */
};

/* A line of the profile that is off by more than this is told. */
#define BOUND 0.25

struct observe
{
	fsmoe_profile_t profile;
	fsmoe_drift_t drift;
	int told;  /* drift was told; once is enough until it is gone */
	int every; /* steps from the last look to the next */
	int next;
};

/* The run keeps it, for its report. */
static int keep(const struct run *run, fsmoe_profile_t profile)
{
	char path[PATH_MAX];
	int err;

	if (!run->first || !run->config.output)
		return 0;
	err = fsmoe_path_join(path, sizeof(path), run->config.output, "profile.json");
	if (err)
		return err;
	/* Where it is the very file that was given, that stays as it was given. */
	return strcmp(path, run->config.profile) ? fsmoe_profile_save(profile, path) : 0;
}

/* From now on tasks are compared with this profile, and StarPU is told it. */
static int watch(struct run *run, fsmoe_profile_t profile)
{
	struct observe *o = run->observe;
	int err = fsmoe_runtime_set_profile(run->runtime, profile);

	if (o->profile != profile)
		fsmoe_profile_destroy(o->profile);
	o->profile = profile;
	if (!err)
		err = keep(run, profile);
	if (o->drift)
		fsmoe_drift_follow(o->drift, profile);
	return err || o->drift ? err : fsmoe_drift_create(&o->drift, profile, BOUND);
}

/* Every line that the prediction of a step needs is asked for now: at the end the run would have
 * been for nothing. */
static int check_profile(const struct run *run, fsmoe_profile_t profile)
{
	struct fsmoe_timeline predicted;
	int err = fsmoe_profile_simulate(profile, fsmoe_trainer_graph(run->trainer), &predicted);

	if (err)
		return fsmoe_fail(-err, "%s: %s", run->config.profile, fsmoe_last_error());
	fsmoe_timeline_destroy(&predicted);
	return 0;
}

int run_observe_start(struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;
	struct observe *o;
	int err = 0;

	if (!config->profile && !config->record_events && !config->timeline)
		return 0;
	o = run->observe = calloc(1, sizeof(*o));
	if (!o)
		return fsmoe_fail(ENOMEM, "no memory to observe the steps");
	o->every = MEET_EVERY;
	err = fsmoe_runtime_record(run->runtime, 1, config->record_events);
	if (err || !config->profile)
		return err;
	err = fsmoe_profile_load(&o->profile, config->profile);
	if (!err)
		err = check_profile(run, o->profile);
	if (!err && run->first)
		cli_profile_compare(o->profile, config->profile, &config->runtime);
	return err ? err : watch(run, o->profile);
}

/* Whoever gave a plan wants that one; and the last step needs no other. */
static int may_replan(const struct run *run)
{
	const struct fsmoe_train_config *config = &run->config;

	return config->replan && !config->plan && run->plan.layer && run->step < config->steps;
}

/* All ranks know the same. */
static int drifted(struct run *run, const struct fsmoe_drift_result *result, fsmoe_profile_t fresh)
{
	struct observe *o = run->observe;
	int err;

	if (may_replan(run))
	{
		err = run_replan(run, result->sentence, fresh);
		if (!err)
			return watch(run, fresh);
		fsmoe_profile_destroy(fresh);
		return err;
	}
	if (!o->told)
		run_say(run, "step %d: %s: measure again with 'fsmoe profile'", run->step,
			result->sentence);
	fsmoe_profile_destroy(fresh);
	o->told = 1;
	return 0;
}

/* All ranks look at the profile together. */
static int meet(struct run *run)
{
	struct observe *o = run->observe;
	struct fsmoe_drift_result result;
	fsmoe_profile_t fresh;
	int err;

	err = fsmoe_drift_observe(o->drift, fsmoe_trainer_program(run->trainer),
				  fsmoe_trainer_graph(run->trainer));
	if (err || run->step % MEET_EVERY || run->step < o->next)
		return err;
	err = fsmoe_drift_meet(o->drift, run->runtime, &result, &fresh);
	if (err)
		return err;
	/* Where it drifts to and fro no plan is right for long: less and less often. */
	o->every = !result.drifted || !may_replan(run) ? MEET_EVERY
		   : 2 * o->every < MEET_RARELY        ? 2 * o->every
						       : MEET_RARELY;
	o->next = run->step + o->every;
	if (!result.drifted)
		o->told = 0;
	return result.drifted ? drifted(run, &result, fresh) : 0;
}

/* Rank 0 writes what all ranks gathered. */
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
	if (!err && run->observe->profile)
	{
		err = fsmoe_profile_simulate(run->observe->profile, graph, &predicted);
		track[n++] = (struct fsmoe_track){"predicted", &predicted};
	}
	if (!err)
		err = fsmoe_timeline_write_perfetto(file, graph, track, n);
	if (file && fclose(file) && !err)
		err = fsmoe_fail(errno, "cannot write %s: %s", path, strerror(errno));
	if (!err && run->observe->profile)
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

/* Collective. */
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

/* A step before the last one: its number stands before the ending of the file's name. */
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
	int err = 0;

	if (run->observe && run->config.timeline)
		err = write_earlier_step(run);
	return err || !run->observe || !run->observe->drift ? err : meet(run);
}

int run_observe_end(struct run *run)
{
	return run->config.timeline && run->observe && run->tokens_done
		       ? write_step(run, run->config.timeline)
		       : 0;
}

void run_observe_release(struct run *run)
{
	if (!run->observe)
		return;
	fsmoe_drift_destroy(run->observe->drift);
	fsmoe_profile_destroy(run->observe->profile);
	free(run->observe);
	run->observe = NULL;
}
