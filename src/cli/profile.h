/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_PROFILE_H
#define FSMOE_CLI_PROFILE_H

#include "base/option_rows.h"
#include "config/config.h"
#include "runtime/introspect.h"

#include <fsmoe/measure.h>

/* `fsmoe profile`: a model and a layout as training has them, and where the result goes. */
struct cli_profile
{
	struct fsmoe_train_config train;
	struct fsmoe_measure_opts measure;
	const char *out;
};

/* A model, a layout and a machine: `train` is the train_config among a command's options. */
/* clang-format off */
#define CLI_PROFILE_ROWS(train) \
	HEADING("Model"), \
	TEXT("config", train.config, "FILE", "Read a JSON object, as 'fsmoe train' does"), \
	ROWS_OF(fsmoe_train_options, train, "preset heads model-dim hidden experts topk " \
		"capacity-factor vocab batch microbatches seq"), \
	HEADING("Layout"), \
	ROWS_OF(fsmoe_train_options, train, "nodes mp ep esp dp"), \
	HEADING("Machine"), \
	ROWS_OF(fsmoe_train_options, train, "device dtype cta-policy blas-threads scheduler bind " \
		"emulate-inter emulate-intra emulate-latency")
/* clang-format on */

int cli_profile_init(struct cli_profile *profile, const char *preset);

/* Defaults < preset < --config FILE < command line, by a table whose struct begins with `profile`
 * and is else zero; the file may say all that training takes. Free json after. */
int cli_profile_load(const struct fsmoe_option *table, struct cli_profile *profile,
		     struct fsmoe_json *json, int argc, char **argv);

/* Notes of the machine, the date, versions, threads and the model. Collective. */
int cli_profile_describe(const struct cli_profile *options, fsmoe_profile_t profile,
			 fsmoe_runtime_t runtime);
/* Warns where a run with these options is of another device or dtype than the profile, whose times
 * are then of something else. What a profile does not say is not known to differ. */
void cli_profile_compare(fsmoe_profile_t profile, const char *path,
			 const struct fsmoe_runtime_opts *opts);
/* The table of lines. */
void cli_profile_print(fsmoe_profile_t profile, double seconds);

#endif
