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
	{"profile", "Measure the cost of tasks on this machine", cli_profile, cli_profile_options,
	 cli_profile_defaults},
	{"plan", "Plan the chunks and gradients of every layer by a profile", cli_plan,
	 cli_plan_options, cli_planning_defaults},
	{"simulate", "Predict the time of every schedule, for a model or the paper's grid",
	 cli_simulate, cli_simulate_options, cli_planning_defaults},
	{"bench", "Measure one part of training", .commands = cli_bench_commands},
	{"report", "Report a run: curves, experts, a recorded step beside the predicted one",
	 cli_report, cli_report_options, .argument = "DIR"},
	{"explain", "Explain what bounds a recorded step, and what would change it", cli_explain,
	 cli_explain_options, .argument = "DIR"},
	{"trace", "Convert the files of train --trace for ViTE and other tools", cli_trace,
	 cli_trace_options, .argument = "DIR"},
	{"checksum", "Write checksums beside data files, for train to compare", cli_checksum,
	 cli_checksum_options, .argument = "FILE..."},
	{"info", "List modules, schedules and presets; show a machine's process groups", cli_info,
	 cli_info_options},
	{"help", "Show this list, a command's options, or the manual page", cli_help,
	 cli_help_options, .argument = "[COMMAND]"},
	{0},
};

int main(int argc, char **argv)
{
	/* Each step's line must arrive when the step ends, through pipes and launchers too. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	fsmoe_log_setup(cli_launch_rank(), cli_launch_ranks(), FSMOE_LOG_WARNING);
	if (argc > 1 && !strcmp(argv[1], "--version"))
	{
		puts("fsmoe " PACKAGE_VERSION);
		return FSMOE_EXIT_OK;
	}
	return cli_run(cli_commands, argc, argv);
}
