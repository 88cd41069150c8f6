/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_PROFILE_H
#define FSMOE_CLI_PROFILE_H

#include "base/option_rows.h"
#include "config/config.h"
#include "runtime/introspect.h"

#include <fsmoe/measure.h>

/* Options of `fsmoe profile`. */
struct cli_profile
{
	struct fsmoe_train_config train;
	struct fsmoe_measure_opts measure;
	const char *out;
};

/* Rows for a model, a layout and a machine; `train` is the train_config in a command's options. */
/* clang-format off */
#define CLI_PROFILE_ROWS(train) \
	HEADING("Model"), \
	TEXT("config", train.config, "FILE", \
		"Read options from a JSON object, as 'fsmoe train' does"), \
	ROWS_OF(fsmoe_train_options, train, \
		"preset heads hidden-size ffn-size hidden experts top-k " \
		"capacity-factor vocab-size global-batch micro-batches seq-length"), \
	HEADING("Layout"), \
	ROWS_OF(fsmoe_train_options, train, "nodes tp ep esp dp"), \
	HEADING("Machine"), \
	ROWS_OF(fsmoe_train_options, train, \
		"device dtype cta-policy blas-threads starpu-sched bind " \
		"emulate-inter-gbs emulate-intra-gbs emulate-latency-us")
/* clang-format on */

int cli_profile_init(struct cli_profile *profile, const char *preset);

/* Fills *profile: defaults < preset < --config FILE < command line. The table's struct begins with
 * *profile and is otherwise zero; the file may have all keys of training. Free json afterwards. */
int cli_profile_load(const struct fsmoe_option *table, struct cli_profile *profile,
		     struct fsmoe_json *json, int argc, char **argv);

/* Adds notes about machine, date, versions, threads and model. Collective over all ranks. */
int cli_profile_describe(const struct cli_profile *options, fsmoe_profile_t profile,
			 fsmoe_runtime_t runtime);
/* Warns if a run with these options has another device or dtype than the profile. A profile without
 * them is not compared. */
void cli_profile_compare(fsmoe_profile_t profile, const char *path,
			 const struct fsmoe_runtime_opts *opts);
/* Prints the table of profile lines. */
void cli_profile_print(fsmoe_profile_t profile, double seconds);

#endif
