/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FSMOE_CLI_CLI_H
#define FSMOE_CLI_CLI_H

#include "base/options.h"

/* A command: one row in src/cli/main.c, or of a command's own table, and one file. */
struct cli_command
{
	const char *name, *doc; /* doc: one line */
	/* argv[0] is the whole name, "bench layer". Returns one of FSMOE_EXIT_... */
	int (*run)(int argc, char **argv);
	const struct fsmoe_option *options; /* NULL: none */
	const void *(*defaults)(void);      /* a filled struct, static; may be NULL */
	/* Subcommands, as in "fsmoe bench layer"; the other fields but name and doc are then
	 * unused. NULL: none. */
	const struct cli_command *commands;
	const char *argument; /* may precede the options: "DIR"; NULL: none */
};

extern const struct cli_command cli_commands[]; /* a row without a name ends it */
extern const struct cli_command cli_bench_commands[];

int cli_checksum(int argc, char **argv);
int cli_info(int argc, char **argv);
int cli_train(int argc, char **argv);
int cli_generate(int argc, char **argv);
int cli_profile(int argc, char **argv);
int cli_bench_schedule(int argc, char **argv);
int cli_plan(int argc, char **argv);
int cli_simulate(int argc, char **argv);
int cli_bench_layer(int argc, char **argv);
int cli_report(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_trace(int argc, char **argv);
int cli_help(int argc, char **argv);

extern const struct fsmoe_option cli_generate_options[], cli_info_options[], cli_help_options[];
extern const struct fsmoe_option cli_checksum_options[];
extern const struct fsmoe_option cli_profile_options[], cli_bench_schedule_options[];
const void *cli_bench_schedule_defaults(void);
const void *cli_profile_defaults(void);
const void *cli_train_defaults(void);
const void *cli_generate_defaults(void);
extern const struct fsmoe_option cli_plan_options[], cli_simulate_options[], cli_report_options[],
	cli_trace_options[], cli_explain_options[];
const void *cli_planning_defaults(void);

const void *cli_bench_layer_defaults(void);

/* Finds a command by its whole name; NULL with a sentence if it is unknown. */
const struct cli_command *cli_find(const char *name);
/* Runs the command of a table that argv[1] names; argv[0] names the owner of the table. */
int cli_run(const struct cli_command *commands, int argc, char **argv);
/* Removes argv[1] and returns it, for `fsmoe trace DIR`; NULL if it is an option. */
const char *cli_take_argument(int *argc, char **argv);
/* Parses the options of `fsmoe report DIR` or `fsmoe explain DIR`, and opens the report of the
 * folder named by the argument or by *run. The caller calls fsmoe_report_close. Not 0: the
 * command ends with *code. */
struct fsmoe_report;
int cli_open_report(const struct fsmoe_option *table, int argc, char **argv, void *options,
		    const char **run, struct fsmoe_report *report, int *code);
/* Prints the help of a command; of `train`, cli_show_help prints the common options only. Returns
 * an exit code. */
int cli_show_help(const char *name);
int cli_show_all_help(const char *name);

/* Rank and number of ranks by the launcher's environment, known before MPI starts; 0 and 1
 * without a launcher. */
int cli_launch_rank(void);
int cli_launch_ranks(void);

/* The exit code of a negative errno that means the same in every command: another rank failed, data
 * are missing, the machine or the layout does not fit; `otherwise` for any other, 0 for 0. */
int cli_exit(int err, int otherwise);
/*
 * Prints this thread's last error and returns cli_exit(err, code), or `code` if err is 0. Every
 * rank may come here with the same failure, and one sentence is enough: ranks other than the first
 * wait a moment, in which the first one's end ends them too.
 */
int cli_fail(int code, int err);
/* Prints a failure that all ranks are known to share, on the first one. Returns code. */
int cli_fail_together(int code);

#endif
