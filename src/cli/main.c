/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/log.h"
#include "config/config.h"

#include <fsmoe/error.h>
#include <string.h>

const struct cli_command cli_commands[] = {
	{"train", "Train a model on text or tokens", cli_train, fsmoe_train_options,
	 cli_train_defaults},
	{"generate", "Continue a text with a trained model", cli_generate, cli_generate_options,
	 cli_generate_defaults},
	{"profile", "Measure what tasks cost on this machine", cli_profile, cli_profile_options,
	 cli_profile_defaults},
	{"plan", "Chunks of every layer and gradients beside them, from a profile", cli_plan,
	 cli_plan_options, cli_plan_defaults},
	{"simulate", "What every schedule takes, of a model or of the paper's grid", cli_simulate,
	 cli_simulate_options, cli_simulate_defaults},
	{"bench", "Measure a part alone", .commands = cli_bench_commands},
	{"report", "Show a run: curves, experts, a recorded step beside the predicted one",
	 cli_report, cli_report_options, .argument = "DIR"},
	{"explain", "What bounds a recorded step, and what would change it", cli_explain,
	 cli_explain_options, .argument = "DIR"},
	{"trace", "Make what ViTE and other tools read of what train --trace left", cli_trace,
	 cli_trace_options, .argument = "DIR"},
	{"checksum", "Write the checksum of data files beside them, which train compares",
	 cli_checksum, cli_checksum_options, .argument = "FILE..."},
	{"info", "What was built in; what a machine's ranks become", cli_info, cli_info_options},
	{"help", "This list, a command's options, or the manual page", cli_help, cli_help_options,
	 .argument = "[COMMAND]"},
	{0},
};

int main(int argc, char **argv)
{
	/* A line a step must arrive when the step ends, through pipes and launchers too. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	fsmoe_log_setup(cli_launch_rank(), cli_launch_ranks(), FSMOE_LOG_WARNING);
	if (argc > 1 && !strcmp(argv[1], "--version"))
	{
		puts("fsmoe " PACKAGE_VERSION);
		return FSMOE_EXIT_OK;
	}
	return cli_run(cli_commands, argc, argv);
}
