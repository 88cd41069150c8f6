/* SPDX-License-Identifier: Apache-2.0 */
#include "base/option_rows.h"
#include "cli/cli.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <string.h>

struct help
{
	int man;
};

#define AT(field) offsetof(struct help, field)

const struct fsmoe_option cli_help_options[] = {
	FLAG("man", man, "Write the manual page in roff"),
	{.type = FSMOE_OPTION_END},
};

static const struct
{
	int code;
	const char *meaning;
} exit_codes[] = {
	{FSMOE_EXIT_OK, "success"},
	{FSMOE_EXIT_RUN, "the run or its GPU failed"},
	{FSMOE_EXIT_USAGE, "the command line or the configuration is wrong"},
	{FSMOE_EXIT_DATA, "data cannot be read or is wrong"},
	{FSMOE_EXIT_LAYOUT, "the machine or the layout of ranks does not fit"},
	{FSMOE_EXIT_PEER, "another rank failed or stopped answering"},
	{FSMOE_EXIT_STOPPED, "stopped in order by SIGINT, SIGTERM or SIGUSR1, after saving"},
};
#define NCODES (sizeof(exit_codes) / sizeof(exit_codes[0]))

static const char purpose[] =
	"trains sparse Mixture-of-Experts transformers as StarPU task graphs over MPI";

static void show_overview(void)
{
	printf("fsmoe %s: %s\n\nUsage: fsmoe COMMAND [OPTION...]\n\n", PACKAGE_VERSION, purpose);
	for (const struct cli_command *command = cli_commands; command->name; command++)
		printf("  %-8s %s\n", command->name, command->doc);
	printf("\n'fsmoe COMMAND --help' lists a command's options. Several ranks: mpirun -n 4 "
	       "fsmoe train ...\n\nExit codes:\n");
	for (size_t i = 0; i < NCODES; i++)
		printf("  %d  %s\n", exit_codes[i].code, exit_codes[i].meaning);
}

static int show_commands(const struct cli_command *of)
{
	printf("%s.\n\nUsage: fsmoe %s COMMAND [OPTION...]\n\n", of->doc, of->name);
	for (const struct cli_command *command = of->commands; command->name; command++)
		printf("  %-8s %s\n", command->name, command->doc);
	printf("\n'fsmoe %s COMMAND --help' lists a command's options.\n", of->name);
	return FSMOE_EXIT_OK;
}

static int show_options(const char *name, int all)
{
	const struct cli_command *command = cli_find(name);
	char usage[64], doc[256];
	int err;

	if (!command)
		return cli_fail(FSMOE_EXIT_USAGE, 0);
	if (cli_launch_rank() > 0)
		return FSMOE_EXIT_OK;
	if (command->commands)
		return show_commands(command);
	snprintf(usage, sizeof(usage), "fsmoe %s%s%s", name, command->argument ? " " : "",
		 command->argument ? command->argument : "");
	snprintf(doc, sizeof(doc), "%s.", command->doc);
	err = fsmoe_options_help(command->options, usage, doc,
				 command->defaults ? command->defaults() : NULL, all, stdout);
	return err ? cli_fail(FSMOE_EXIT_RUN, err) : FSMOE_EXIT_OK;
}

int cli_show_help(const char *name)
{
	return show_options(name, 0);
}

int cli_show_all_help(const char *name)
{
	return show_options(name, 1);
}

/* Prints a section for every command that has options; `of` is "" or "bench ". */
static int show_sections(const struct cli_command *commands, const char *of)
{
	int err = 0;

	for (const struct cli_command *command = commands; command->name && !err; command++)
	{
		char inner[64];

		snprintf(inner, sizeof(inner), "%s%s ", of, command->name);
		if (command->commands)
		{
			err = show_sections(command->commands, inner);
			continue;
		}
		printf(".SH \"FSMOE %s%s\"\n%s.\n", of, command->name, command->doc);
		err = fsmoe_options_man(command->options,
					command->defaults ? command->defaults() : NULL, stdout);
	}
	return err;
}

static int show_man(void)
{
	int err;

	printf(".TH FSMOE 1 \"\" \"fsmoe %s\" \"User Commands\"\n", PACKAGE_VERSION);
	printf(".SH NAME\nfsmoe \\- %s\n", purpose);
	printf(".SH SYNOPSIS\n.B fsmoe\n.I COMMAND\n[\\fIOPTION\\fR...]\n.br\n"
	       ".B mpirun \\-n\n.I RANKS\n.B fsmoe train\n[\\fIOPTION\\fR...]\n");
	printf(".SH DESCRIPTION\nEvery command lists its options with \\fB\\-\\-help\\fR, and "
	       "train all of its options with \\fB\\-\\-help=all\\fR. \\fB\\-\\-config\\fR reads "
	       "them as keys of a JSON object, with _ for \\-. The command line overrides this "
	       "file, and the file overrides a preset.\n");
	err = show_sections(cli_commands, "");
	printf(".SH \"EXIT STATUS\"\n");
	for (size_t i = 0; i < NCODES; i++)
		printf(".TP\n.B %d\n%s\n", exit_codes[i].code, exit_codes[i].meaning);
	return err ? cli_fail(FSMOE_EXIT_RUN, err) : FSMOE_EXIT_OK;
}

int cli_help(int argc, char **argv)
{
	struct help help = {0};
	int err;

	if (argc >= 2 && argv[1][0] != '-')
	{
		const int all = argc > 2 && !strcmp(argv[argc - 1], "all"), two = argc - all > 2;
		char name[64];

		snprintf(name, sizeof(name), "%s%s%s", argv[1], two ? " " : "", two ? argv[2] : "");
		return show_options(name, all);
	}
	err = fsmoe_options_parse(cli_help_options, argc, argv, &help);
	if (err == FSMOE_OPTIONS_HELP)
		return cli_show_help("help");
	if (err)
		return cli_fail(FSMOE_EXIT_USAGE, err);
	if (cli_launch_rank() > 0)
		return FSMOE_EXIT_OK;
	if (help.man)
		return show_man();
	show_overview();
	return FSMOE_EXIT_OK;
}
