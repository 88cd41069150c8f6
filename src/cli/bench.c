/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/layer.h"
#include "cli/cli.h"

/* `fsmoe bench NAME`: one row each, and one file src/cli/bench_NAME.c each. */
const struct cli_command cli_bench_commands[] = {
	{"layer", "One MoE layer, forward and backward: one line of JSON", cli_bench_layer,
	 fsmoe_bench_options, cli_bench_layer_defaults},
	{"schedule", "Schedules in turn: steps predicted and measured", cli_bench_schedule,
	 cli_bench_schedule_options, cli_bench_schedule_defaults},
	{0},
};
