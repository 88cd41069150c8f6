/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

/* `fsmoe bench NAME`: a row each, a file src/cli/bench_NAME.c each. */
const struct cli_command cli_bench_commands[] = {
	{0},
};
