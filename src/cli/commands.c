/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/suggest.h"

#include <errno.h>
#include <fsmoe/error.h>
#include <stdio.h>
#include <string.h>

static const char *name_at(const void *commands, int i)
{
	return ((const struct cli_command *)commands)[i].name;
}

/* Finds a command; `of` is the name of the table's owner, for the sentence: "" or "bench ". */
static const struct cli_command *find(const struct cli_command *commands, const char *of,
				      const char *name, size_t length)
{
	char valid[256], wrong[64];
	const char *near;

	for (const struct cli_command *c = commands; c->name; c++)
		if (strlen(c->name) == length && !strncmp(c->name, name, length))
			return c;
	snprintf(wrong, sizeof(wrong), "%.*s", (int)length, name);
	near = fsmoe_suggest(wrong, name_at, commands);
	fsmoe_name_list(name_at, commands, valid, sizeof(valid));
	fsmoe_fail(EINVAL, "unknown command '%s%s': there %s %s%s%s%s", of, wrong,
		   commands[0].name && commands[1].name ? "are" : "is", valid,
		   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	return NULL;
}

const struct cli_command *cli_find(const char *name)
{
	const struct cli_command *commands = cli_commands, *command = NULL;
	char of[64] = "";

	while (commands)
	{
		const size_t length = strcspn(name, " ");

		command = find(commands, of, name, length);
		if (!command || !name[length])
			return command;
		snprintf(of, sizeof(of), "%s ", command->name);
		commands = command->commands;
		name += length + 1;
	}
	fsmoe_fail(EINVAL, "command '%s' has no commands of its own", command->name);
	return NULL;
}

const char *cli_take_argument(int *argc, char **argv)
{
	const char *taken = *argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;

	if (!taken)
		return NULL;
	(*argc)--;
	for (int i = 1; i < *argc; i++)
		argv[i] = argv[i + 1];
	return taken;
}

int cli_run(const struct cli_command *commands, int argc, char **argv)
{
	/* Other programs' spellings of `help`. */
	static const char *const help[] = {"--help", "-h", "-?", NULL};
	const int top = commands == cli_commands;
	const struct cli_command *command;
	char name[64], of[64];

	snprintf(of, sizeof(of), "%s%s", top ? "" : argv[0], top ? "" : " ");
	if (argc < 2)
	{
		fsmoe_fail(EINVAL, "no command given: 'fsmoe %shelp' lists them", of);
		return cli_fail(FSMOE_EXIT_USAGE, 0);
	}
	for (int i = 0; help[i]; i++)
		if (!strcmp(argv[1], help[i]))
			argv[1] = "help";
	if (!top && !strcmp(argv[1], "help"))
		return cli_show_help(argv[0]);
	command = find(commands, of, argv[1], strlen(argv[1]));
	if (!command)
		return cli_fail(FSMOE_EXIT_USAGE, 0);
	snprintf(name, sizeof(name), "%s%s", of, command->name);
	argv[1] = name;
	return command->commands ? cli_run(command->commands, argc - 1, argv + 1)
				 : command->run(argc - 1, argv + 1);
}
