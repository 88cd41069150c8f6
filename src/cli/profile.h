/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_PROFILE_H
#define FSMOE_CLI_PROFILE_H

#include "train/config.h"

#include <fsmoe/measure.h>

/* `fsmoe profile`: a model and a layout as training has them, and where the result goes. */
struct cli_profile
{
	struct fsmoe_train_config train;
	struct fsmoe_measure_opts measure;
	const char *out;
};

int cli_profile_init(struct cli_profile *profile, const char *preset);

/* Notes of the machine, the date, versions, threads and the model. Collective. */
int cli_profile_describe(const struct cli_profile *options, fsmoe_profile_t profile,
			 fsmoe_runtime_t runtime);
/* The table of lines. */
void cli_profile_print(fsmoe_profile_t profile, double seconds);

#endif
