/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CONFIG_CONFIG_H
#define FSMOE_CONFIG_CONFIG_H

#include "base/json.h"
#include "base/options.h"
#include "data/file.h"
#include "data/objective.h"

#include <fsmoe/model.h>
#include <fsmoe/runtime.h>
#include <fsmoe/topo.h>
#include <fsmoe/train.h>

/* All options of `fsmoe train`. */
struct fsmoe_train_config
{
	struct fsmoe_model_spec model;
	struct fsmoe_train_opts train; /* its seq_length is model.seq_length */
	struct fsmoe_runtime_opts runtime;
	double peak_tflops; /* 10^12 flop/s of a GPU's matrix products; 0: by its name */
	struct fsmoe_layout layout;
	int nodes; /* 0: as the ranks are placed */

	/* The course of a run, from steps to preset, without other fields between
	 * (manifest_options.c). A checkpoint keeps it with model and train, and a resumed run
	 * continues with it. */
	int steps, warmup_steps;
	double lr, min_lr_ratio; /* at the last step lr * min_lr_ratio is left */
	double val_fraction;
	int val_every, val_samples, log_every;
	const char *on_nan, *objective, *preset;

	const char *data, *data_format, *val;
	const char *checkpoint, *resume;
	int checkpoint_every, keep_checkpoints;
	/* How steps are laid out in time: a row's name or file, a profile's file, a plan's file. */
	const char *schedule, *profile, *plan;
	int max_degree, replan; /* replan: plan again when tasks drift from the profile */
	const char *config, *metrics, *output;
	const char *trace_steps; /* "A-B"; NULL: as fsmoe_train_config_load chooses */
	const char *record_events, *timeline;
	int timeline_steps; /* the last ones, a file each */
	int progress, quiet, print_breakdown;

	struct fsmoe_json json; /* --config's content: strings above may point into it */
};

/* The value of model.dispatch for which `fsmoe train` chooses a dispatch by the profile. */
#define FSMOE_DISPATCH_AUTO "auto"

/* The option table, one row for every field above. A command that takes some of the options keeps a
 * train_config for them and lists them: ROWS_OF(fsmoe_train_options, train, "nodes tp ep"). */
extern const struct fsmoe_option fsmoe_train_options[];

/* Sets the defaults, or a preset's values. -ENOENT with a sentence that lists the presets. */
int fsmoe_train_config_init(struct fsmoe_train_config *config, const char *preset);

/* Reads and checks a configuration: defaults < preset < environment < the resumed checkpoint <
 * --config FILE < command line. Returns 0: the caller calls fsmoe_train_config_free; or
 * FSMOE_OPTIONS_HELP, FSMOE_OPTIONS_HELP_ALL or a negative errno: nothing is left to free. argv
 * must outlive the configuration. */
int fsmoe_train_config_load(struct fsmoe_train_config *config, int argc, char **argv);
void fsmoe_train_config_free(struct fsmoe_train_config *config);

/* Sets model, training and course to those of the checkpoint at `path` (NULL: none), so that a
 * resumed run continues as it began. -EINVAL if `preset` (may be NULL) is not the one with which
 * the run began. A checkpoint that cannot be read is reported later, where all ranks load it. */
int fsmoe_train_config_follow(struct fsmoe_train_config *config, const char *path,
			      const char *preset);

/* Checks that need no ranks: -EINVAL with a sentence. */
int fsmoe_train_config_check(const struct fsmoe_train_config *config);
/* The checks of the model alone. */
int fsmoe_train_config_check_model(const struct fsmoe_train_config *config);
/* -EINVAL if the device does not take so many chunks of a layer; `what` names their option. */
int fsmoe_train_config_check_chunks(const struct fsmoe_train_config *config, const char *what,
				    int chunks);
/* Checks that need the process groups. */
int fsmoe_train_config_fits(const struct fsmoe_train_config *config, fsmoe_groups_t groups);

/* The learning rate of a step, counted from 1: it rises linearly for warmup_steps, then falls by
 * half a cosine to lr * min_lr_ratio at step `steps`. */
double fsmoe_train_config_lr(const struct fsmoe_train_config *config, int step);
struct fsmoe_objective fsmoe_train_config_objective(const struct fsmoe_train_config *config);
enum fsmoe_data_format fsmoe_train_config_format(const struct fsmoe_train_config *config);

#endif
