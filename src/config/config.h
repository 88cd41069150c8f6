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
	double peak_tflops; /* Tflop/s of a GPU's matrix products; 0: by its name */
	struct fsmoe_layout layout;
	int nodes; /* 0: the real ones */

	/* Run options: what a checkpoint keeps besides model and train, and a resumed run continues
	 * with. They stand together, from steps to preset (checkpoint_config.c). */
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
	int timeline_steps; /* the last ones, one file each */
	int progress, quiet, print_breakdown;

	struct fsmoe_json json; /* --config's content: strings above may point into it */
};

/* The dispatch is chosen by the profile. */
#define FSMOE_DISPATCH_AUTO "auto"

/* The option table: one row for every field above. A command with some of the options has a
 * train_config for them, and names them: ROWS_OF(fsmoe_train_options, train, "nodes tp ep"). */
extern const struct fsmoe_option fsmoe_train_options[];

/* Sets neutral defaults, or those of a preset (may be NULL). -ENOENT lists the presets. */
int fsmoe_train_config_init(struct fsmoe_train_config *config, const char *preset);

/* Takes over what the checkpoint at `path` (NULL: none) was trained with; `preset` is the one that
 * was asked for, or NULL. See fsmoe_resume_config in checkpoint/resume.h. */
typedef int (*fsmoe_resume_fn)(struct fsmoe_train_config *config, const char *path,
			       const char *preset);

/* Loads and checks the configuration: defaults < preset < environment < the checkpoint that is
 * resumed, read by `resume` < --config FILE < command line. Returns 0, FSMOE_OPTIONS_HELP,
 * FSMOE_OPTIONS_HELP_ALL, or a failure with nothing left to free. argv must outlive the
 * configuration, which the caller frees. */
int fsmoe_train_config_load(struct fsmoe_train_config *config, int argc, char **argv,
			    fsmoe_resume_fn resume);
void fsmoe_train_config_free(struct fsmoe_train_config *config);

/* The path of the checkpoint that is resumed: --resume, or --checkpoint for --resume=latest; NULL:
 * a new run. */
const char *fsmoe_train_config_resumed(const struct fsmoe_train_config *config);

/* Sets what the objective decides: the targets, and whether attention sees whole sequences. */
void fsmoe_train_config_apply_objective(struct fsmoe_train_config *config);

/* Checks that need no process groups. */
int fsmoe_train_config_check(const struct fsmoe_train_config *config);
/* The checks among these that concern the model alone. */
int fsmoe_train_config_check_model(const struct fsmoe_train_config *config);
/* Checks that the device takes so many chunks of a layer; `what` asks for them. */
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
