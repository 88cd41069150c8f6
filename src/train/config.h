/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_TRAIN_CONFIG_H
#define FSMOE_TRAIN_CONFIG_H

#include "base/json.h"
#include "base/options.h"
#include "train/data_file.h"

#include <fsmoe/model.h>
#include <fsmoe/runtime.h>
#include <fsmoe/topo.h>
#include <fsmoe/train.h>

/* Everything that `fsmoe train` can be told: what is trained, where, on what and how long. */
struct fsmoe_train_config
{
	struct fsmoe_model_spec model;
	struct fsmoe_train_opts train; /* its seq is model.seq */
	struct fsmoe_runtime_opts runtime;
	struct fsmoe_layout layout;
	int nodes; /* 0: as they are */

	int steps, warmup;
	double lr, lr_end; /* lr_end: the part of lr that is left at the last step */

	const char *data, *data_format, *val;
	double val_fraction;
	int val_every, val_samples;

	const char *checkpoint, *resume, *on_nan;
	int checkpoint_every, keep;

	const char *preset, *config, *metrics, *run;
	const char *profile, *events, *timeline;
	int log_every, progress, quiet, breakdown;

	struct fsmoe_json json; /* --config's content: strings above may point into it */
};

/* The option table: one row for every field above. */
extern const struct fsmoe_option fsmoe_train_options[];

/* Neutral values, or those of a preset of the model. -ENOENT lists the presets. */
int fsmoe_train_config_init(struct fsmoe_train_config *config, const char *preset);

/* Defaults < preset < environment < --config FILE < command line, checked. 0, FSMOE_OPTIONS_HELP,
 * or a failure with nothing left to free; else fsmoe_train_config_free when done. argv must stay.
 */
int fsmoe_train_config_load(struct fsmoe_train_config *config, int argc, char **argv);
void fsmoe_train_config_free(struct fsmoe_train_config *config);

/* What can be said of the sizes before the ranks are known: -EINVAL with a sentence. */
int fsmoe_train_config_check(const struct fsmoe_train_config *config);
/* The part of it that is about the model alone. */
int fsmoe_train_config_check_model(const struct fsmoe_train_config *config);
/* And what can be said once they are. */
int fsmoe_train_config_fits(const struct fsmoe_train_config *config, fsmoe_groups_t groups);

/* The learning rate of a step, from 1: grows in a line for `warmup` steps, then falls by half a
 * cosine to lr * lr_end at step `steps`. */
double fsmoe_train_config_lr(const struct fsmoe_train_config *config, int step);
enum fsmoe_data_format fsmoe_train_config_format(const struct fsmoe_train_config *config);

#endif
