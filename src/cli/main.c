/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/log.h"
#include "base/nearest.h"
#include "train/config.h"

#include <errno.h>
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
	{"info", "What was built in; what a machine's ranks become", cli_info, cli_info_options,
	 NULL},
	{"help", "This list, a command's options, or the manual page", cli_help, cli_help_options,
	 NULL},
	{0},
};

const char *cli_command_name_at(const void *commands, int i)
{
	return ((const struct cli_command *)commands)[i].name;
}

const struct cli_command *cli_find(const char *name)
{
	char valid[256];
	const char *near;

	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	near = fsmoe_nearest(name, cli_command_name_at, cli_commands);
	fsmoe_name_list(cli_command_name_at, cli_commands, valid, sizeof(valid));
	fsmoe_fail(EINVAL, "unknown command '%s': there are %s%s%s%s", name, valid,
		   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	return NULL;
}

int main(int argc, char **argv)
{
	/* Habits of other programs, each a spelling of `help`. */
	static const char *const help[] = {"--help", "-h", "-?", NULL};
	const struct cli_command *command;

	/* A line a step must arrive when the step ends, through pipes and launchers too. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	fsmoe_log_setup(cli_launch_rank(), cli_launch_ranks(), FSMOE_LOG_WARNING);
	if (argc < 2)
	{
		fsmoe_fail(EINVAL, "no command given: 'fsmoe help' lists them");
		return cli_fail(FSMOE_EXIT_USAGE, 0);
	}
	for (int i = 0; help[i]; i++)
		if (!strcmp(argv[1], help[i]))
			argv[1] = "help";
	if (!strcmp(argv[1], "--version"))
	{
		puts("fsmoe " PACKAGE_VERSION);
		return FSMOE_EXIT_OK;
	}
	command = cli_find(argv[1]);
	if (!command)
		return cli_fail(FSMOE_EXIT_USAGE, 0);
	return command->run(argc - 1, argv + 1);
}
