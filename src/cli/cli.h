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
	/* Commands of which the next argument names one, "fsmoe bench layer"; the other fields but
	 * name and doc are then not used. NULL: none. */
	const struct cli_command *commands;
	const char *argument; /* that may stand before the options, "DIR"; NULL: none */
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
const void *cli_plan_defaults(void);
const void *cli_simulate_defaults(void);

const void *cli_bench_layer_defaults(void);

/* By its whole name; NULL with a sentence: unknown. */
const struct cli_command *cli_find(const char *name);
/* Runs the command that argv[1] names of a table; argv[0] is what the table belongs to. */
int cli_run(const struct cli_command *commands, int argc, char **argv);
/* For `fsmoe trace DIR`: takes argv[1] out where it is no option; else NULL. */
const char *cli_take_argument(int *argc, char **argv);
/* For `fsmoe report DIR` and `fsmoe explain DIR`: parses the options and opens the report of the
 * folder that the argument, or *run among them, names; fsmoe_report_close when done. Not 0: the
 * command ends, with *code. */
struct fsmoe_report;
int cli_open_report(const struct fsmoe_option *table, int argc, char **argv, void *options,
		    const char **run, struct fsmoe_report *report, int *code);
/* --help of a command, on stdout. */
int cli_show_help(const char *name);

/* Rank and number of ranks as the launcher's environment tells them, before MPI runs; 0 and 1
 * where nobody tells. */
int cli_launch_rank(void);
int cli_launch_ranks(void);

/*
 * Says this thread's last error and returns `code`, or FSMOE_EXIT_PEER where `err` means that
 * another rank failed. Every rank may come here with the same failure, and one sentence is
 * enough: ranks but the first leave it a moment, in which its end ends them too.
 */
int cli_fail(int code, int err);
/* The same for a failure that all ranks are known to share: only the first says it. */
int cli_fail_together(int code);

#endif
