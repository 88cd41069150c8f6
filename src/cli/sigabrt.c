/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sigabrt.h"

#include "cli/cli.h"

#include <fsmoe/error.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The sentences, made before the signal: a handler must not format. Static since signals have no
 * argument. */
static char gave_up[320], from_outside[320];

static void on_abort(int signal, siginfo_t *info, void *context)
{
	const int own = info->si_pid == getpid();
	const char *text = own ? gave_up : from_outside;
	const ssize_t written = write(STDERR_FILENO, text, strlen(text));

	(void)written, (void)context;
	if (own)
		_exit(FSMOE_EXIT_RUN);
	raise(signal); /* SA_RESETHAND: it ends the process as it would have without this handler */
}

static void prepare(char *text, size_t size, const char *sentence)
{
	char rank[16] = "";

	if (cli_launch_ranks() > 1)
		snprintf(rank, sizeof(rank), "[%d]", cli_launch_rank());
	snprintf(text, size, "fsmoe%s: error: %s\n", rank, sentence);
}

int cli_runtime_start(fsmoe_runtime_t *runtime, fsmoe_groups_t groups,
		      const struct fsmoe_runtime_opts *opts)
{
	struct sigaction action = {.sa_sigaction = on_abort, .sa_flags = SA_SIGINFO | SA_RESETHAND};

	prepare(gave_up, sizeof(gave_up),
		strcmp(opts->device, "cuda")
			? "StarPU gave up: its message is above"
			: "StarPU gave up, most likely because a GPU failed or was lost (its "
			  "message is above); start again from the last checkpoint with --resume");
	prepare(from_outside, sizeof(from_outside), "SIGABRT came from another process");
	sigemptyset(&action.sa_mask);
	sigaction(SIGABRT, &action, NULL);
	return fsmoe_runtime_start(runtime, groups, opts);
}
